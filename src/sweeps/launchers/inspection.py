"""What is found out about runs before any of them starts; happens in a worker. Writes nothing."""

import pickle
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, open_dict

from sweeps.decision import Action, check, decide
from sweeps.errors import ConfigError, SweepsError
from sweeps.launchers.folders import hydra_config
from sweeps.launchers.job import JobSetup, packed
from sweeps.launchers.runs import Cost, Preflight
from sweeps.record.recording import new_record
from sweeps.record.records import RunDir
from sweeps.record.resolved import resolve
from sweeps.targets import named


class Inspector:
    """Composes runs and checks them."""

    def __init__(self, setup: JobSetup) -> None:
        self._setup = setup
        self._home = str(setup.function.__module__)

    def inspect(self, folder: Path, runs: Sequence[tuple[str, int, Sequence[str], str]]) -> list[Preflight]:
        """Findings on `runs` of the sweep in `folder`.

        Args:
            runs: each (folder below it, number, overrides, hash of its composition).
        """
        return [self._inspect(folder.absolute(), *run) for run in runs]

    def _inspect(self, sweep: Path, name: str, number: int, overrides: Sequence[str], composition: str) -> Preflight:
        folder = RunDir(sweep / name)
        try:
            job = self._setup.compose(overrides, number)
            with hydra_config(job, folder.path):
                cfg = without_hydra(job)
                resolved = resolve(cfg, (folder.path, sweep))
                facts = check(resolved, cfg, sweep, self._home)
                decision = decide(folder, resolved, sweep)
        except SweepsError as error:
            return Preflight(name, error=str(error))
        previous = decision.previous
        kept = previous is not None and previous.run_id != resolved.run_id  # on_mismatch=keep: another run, which stays
        title = str(resolved.settings["name"] or sweep.name)
        record = previous or new_record(resolved, name=name, sweep=title, overrides=overrides)
        declare = not kept and (previous is None or record.composition != composition)
        record.composition = composition
        record.facts = facts | record.facts
        finished = decision.action is Action.SKIP
        left = None if resolved.max_steps is None else max(resolved.max_steps - (record.steps or 0), 0)
        return Preflight(
            name,
            run_id=resolved.run_id,
            setting_id=resolved.setting_id,
            finished=finished,
            record=record if declare else None,
            replaces=decision.replaces,
            steps_left=0 if finished else left,
            facts=facts,
            composed=b"" if finished else packed(job),
        )

    def cost(self, folder: Path, number: int, overrides: Sequence[str], composed: bytes) -> Cost | None:
        """What the application's hook says of one run; None where it has none."""
        job = pickle.loads(zlib.decompress(composed)) if composed else self._setup.compose(overrides, number)
        with hydra_config(job, folder.absolute()):
            cfg = without_hydra(job)
            resolved = resolve(cfg, (folder.absolute(),))
            hook = resolved.settings["hooks"]["cost"]
            if not hook:
                return None
            key = f"{resolved.mount}.hooks.cost"
            found: Any = named(hook, key, self._home)(cfg)
        known = ("seconds_per_step", "memory", "disk")
        if not isinstance(found, Mapping) or not found.keys() <= set(known):
            raise ConfigError(f"{key}={hook} returned {found!r:.60}: it returns a dict with some of {', '.join(known)}")
        return Cost(**found)


def without_hydra(job: DictConfig) -> DictConfig:
    """A job's own config."""
    own = job.copy()
    with open_dict(own):
        del own["hydra"]
    return own
