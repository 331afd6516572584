"""What a training function sees of the engine: the current run. Never imports torch."""

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf

from sweeps.trackers import Tracker

VARIABLE = "SWEEPS_RUN"  # in the environment of the process of a run: processes that it starts are not the run


class Run:
    """The run outside of a sweep: it keeps nothing, so that a training function needs no other code there."""

    in_sweep = False
    seed: Any = None

    @property
    def stop_requested(self) -> bool:
        """Whether the next `report` will stop the run; False."""
        return False

    @property
    def dir(self) -> Path:
        """Hydra's output folder, or the working directory."""
        return Path(HydraConfig.get().runtime.output_dir) if HydraConfig.initialized() else Path.cwd()

    @property
    def trackers(self) -> list[Tracker]:
        """None."""
        return []

    def restore(self, **stateful: Any) -> int | float:
        """Nothing is restored: 0."""
        return 0

    def report(self, metrics: Mapping[str, Any], step: float | None = None, *, checkpoint: bool = True) -> None:
        """Keep nothing."""

    def record(self, **facts: Any) -> None:
        """Keep nothing."""

    def progress(self, step: float, text: str = "") -> None:
        """Show nothing."""

    @property
    def is_own_process(self) -> bool:
        """Whether this is the process of the run, and not one that it has started."""
        return True


_NULL = Run()
_current: Run = _NULL
_warned: set[str] = set()


def current_run() -> Run:
    """The run that this process is doing; outside of a sweep a run whose methods do nothing."""
    if _current is _NULL and VARIABLE in os.environ:
        warn_once(
            f"process {os.getpid()} was started by the run in {os.environ[VARIABLE]} and is not the run itself; what "
            "it reports is ignored"
        )
    elif _current is _NULL and is_first_of_a_sweep():
        warn_once(
            "sweeps.current_run() does nothing in this sweep, which keeps no records: "
            + (
                "add the line `- sweep: default` to the defaults list of its config, or +sweep=default to the command "
                "line"
                if not any(group.partition("@")[0] == "sweep" for group in HydraConfig.get().runtime.choices)
                else "it needs hydra/sweeper=grid or search, or hydra/launcher=local or slurm"
            )
        )
    return _current if _current.is_own_process else _NULL


def is_in_sweep() -> bool:
    """Whether this process is doing a run; `current_run` warns where it is none."""
    return _current.in_sweep


def is_first_of_a_sweep() -> bool:
    """Whether this process is doing the first job of one of Hydra's sweeps: what is to be said once is said there."""
    if not HydraConfig.initialized() or HydraConfig.get().mode is not RunMode.MULTIRUN:
        return False
    hydra: Any = HydraConfig.get()
    return OmegaConf.select(hydra, "job.num", throw_on_missing=False) in (None, 0)


@contextmanager
def making_current(run: Run) -> Iterator[None]:
    """Inside the block `run` is the current run."""
    global _current
    before, variable = _current, os.environ.get(VARIABLE)
    _current, os.environ[VARIABLE] = run, str(run.dir)
    try:
        yield
    finally:
        _current = before
        os.environ.pop(VARIABLE, None)
        if variable is not None:
            os.environ[VARIABLE] = variable


def warn_once(text: str) -> None:
    """Warn, and not again of the same."""
    if text not in _warned:
        _warned.add(text)
        warnings.warn(text, stacklevel=3)
