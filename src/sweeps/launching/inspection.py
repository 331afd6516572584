"""What is found out about the cells of a grid before any of them runs; happens in a worker, which has torch."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from omegaconf import DictConfig, open_dict

from sweeps.checks import check
from sweeps.config import resolve
from sweeps.devices import choose_device, now, peak_memory, reset_peak_memory
from sweeps.errors import SweepsError
from sweeps.identity import run_id
from sweeps.launching.cells import Cost, Report
from sweeps.launching.setup import Setup, packed
from sweeps.lifecycle import new_record, previous_record
from sweeps.models import NetworkProfile
from sweeps.parts import build, check_parts, choose_engine, inspect
from sweeps.pruning import goes_on
from sweeps.records import RunDir
from sweeps.training import RECORDED_AFTER, Totals


class Inspector:
    """Composes cells and checks them; every distinct network is built once, on the meta device. Writes nothing."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._profiles: dict[str, NetworkProfile] = {}

    def inspect(self, folder: Path, cells: Sequence[tuple[str, Sequence[str], str]], here: bool) -> list[Report]:
        """Reports on `cells`, each (name, overrides, hash of its composition), which will run `here` or elsewhere."""
        return [self._inspect(RunDir(folder / cell[0]), *cell, here=here) for cell in cells]

    def _inspect(self, folder: RunDir, name: str, overrides: Sequence[str], composition: str, *, here: bool) -> Report:
        try:
            job = self._setup.compose(overrides)
            config = resolve(without_hydra(job))
            check(config)
            check_parts(config)
            if here:
                choose_engine(config, choose_device(config["device"]))
            kind = repr(
                [config[key] for key in ("model", "resize", "augment", "trainer")] + [config["dataset"]["name"]]
            )
            if kind not in self._profiles:
                self._profiles[kind] = inspect(config)
            previous = previous_record(folder, config)
        except SweepsError as error:
            return Report(name, error=str(error))
        profile = self._profiles[kind]
        record = previous or new_record(config, name=name, overrides=overrides)
        record.parameters = profile.parameters
        kept = record.run_id != run_id(config)  # on_mismatch=keep: the folder holds another run, which stays
        finished = kept or (record.status.is_finished and not goes_on(record, config, folder.path.parent))
        declare = not kept and (previous is None or record.composition != composition)
        record.composition = composition
        return Report(
            name,
            run_id=run_id(config),
            finished=finished,
            record=record if declare else None,
            replaces=previous is None and config["on_mismatch"] == "rerun",
            kind=kind,
            epochs_left=0 if finished else config["trainer"]["epochs"] - record.epochs,
            parameters=profile.parameters,
            forward_macs=profile.forward_macs,
            keeps_weights=config["trainer"]["save_weights"],
            composed=b"" if finished else packed(job),
        )

    def probe(self, overrides: Sequence[str]) -> Cost:
        """Time and memory of one cell, from its second training batch and its first test batch."""
        config = resolve(without_hydra(self._setup.compose(overrides)))
        device = choose_device(config["device"])
        reset_peak_memory(device)
        step, data = build(config, device)
        totals = Totals(config["dataset"]["classes"], device)
        first = RECORDED_AFTER if device.type == "cuda" else 1
        train = _timed(lambda: step.train(*next(data.train.shuffled(1)), totals), device, first)
        step.network.eval()
        with torch.inference_mode():
            test = _timed(lambda: step.evaluate(*next(data.test.in_order()), totals), device, first - 1)
        passes = len(data.test) + (len(data.val) if data.val else 0)
        passes += len(data.train) if config["trainer"]["evaluate_train"] else 0
        return Cost(train * data.train.steps + test * passes, peak_memory(device))


def without_hydra(job: DictConfig) -> DictConfig:
    """A job's own config."""
    own = job.copy()
    with open_dict(own):
        del own["hydra"]
    return own


def _timed(work: Callable[[], None], device: torch.device, first: int) -> float:
    """Seconds that `work` takes on the device once it has been done `first` times."""
    for _ in range(first):
        work()
    began = now(device)
    work()
    return now(device) - began
