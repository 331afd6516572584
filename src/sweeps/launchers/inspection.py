"""What is found out about the cells of a grid before any of them runs; happens in a worker, which has torch."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from omegaconf import DictConfig, open_dict

from sweeps.errors import SweepsError
from sweeps.launchers.folders import hydra_config
from sweeps.launchers.job import Setup, packed
from sweeps.launchers.runs import Cost, Report
from sweeps.pruners import goes_on
from sweeps.record.identity import run_id
from sweeps.record.recording import new_record, previous_record
from sweeps.record.records import RunDir
from sweeps.vision.build import build, check_parts, choose_engine, inspect
from sweeps.vision.checks import check
from sweeps.vision.config import resolve
from sweeps.vision.devices import choose_device, now, peak_memory, reset_peak_memory
from sweeps.vision.models import NetworkProfile
from sweeps.vision.training import RECORDED_AFTER, Totals


class Inspector:
    """Composes cells and checks them; every distinct network is built once, on the meta device. Writes nothing."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._profiles: dict[str, NetworkProfile] = {}

    def inspect(self, folder: Path, cells: Sequence[tuple[str, int, Sequence[str], str]], here: bool) -> list[Report]:
        """Reports on `cells`, which will run `here` or elsewhere.

        Args:
            folder: the sweep's.
            cells: each (folder below it, number, overrides, hash of its composition).
        """
        return [self._inspect(folder, *cell, here=here) for cell in cells]

    def _inspect(
        self, sweep: Path, name: str, number: int, overrides: Sequence[str], composition: str, *, here: bool
    ) -> Report:
        folder = RunDir(sweep / name)
        try:
            job = self._setup.compose(overrides, number)
            with hydra_config(job, folder.path):
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
        finished = kept or (record.status.is_finished and not goes_on(record, config, sweep))
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

    def probe(self, folder: Path, number: int, overrides: Sequence[str]) -> Cost:
        """Time and memory of one cell, from its second training batch and its first test batch."""
        with hydra_config(self._setup.compose(overrides, number), folder) as job:
            config = resolve(without_hydra(job))
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
