"""Sweeps of any Hydra application: resume, pruning, statistics and a report for a training function.

In a training function `current_run` gives the run; in a notebook `load` gives the runs of a sweep as data frames.
"""

import typing as _typing

if _typing.TYPE_CHECKING:
    from pathlib import Path as _Path

    from sweeps.errors import ConfigError as ConfigError
    from sweeps.errors import DataError as DataError
    from sweeps.errors import RecordError as RecordError
    from sweeps.errors import RunFailed as RunFailed
    from sweeps.errors import SweepsError as SweepsError
    from sweeps.record.recording import Diverged as Diverged
    from sweeps.record.recording import StopRun as StopRun
    from sweeps.results.export import Frames as _Frames
    from sweeps.run import Run as Run
    from sweeps.run import current_run as current_run
    from sweeps.task import recorded as recorded
    from sweeps.vision.predict import Trained as _Trained

# Imported when they are used: a training function must not wait for what a summary needs, nor the other way round.
_HOMES = {
    "ConfigError": "sweeps.errors",
    "DataError": "sweeps.errors",
    "Diverged": "sweeps.record.recording",
    "RecordError": "sweeps.errors",
    "Run": "sweeps.run",
    "RunFailed": "sweeps.errors",
    "StopRun": "sweeps.record.recording",
    "SweepsError": "sweeps.errors",
    "current_run": "sweeps.run",
    "recorded": "sweeps.task",
}
__all__ = [*_HOMES, "load", "load_model"]


def __getattr__(name: str) -> _typing.Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def load(*folders: "str | _Path") -> "_Frames":
    """The runs at and below `folders` as data frames, `runs` and `reports`. See `sweeps.results.export`."""
    from sweeps.results import export

    return export.load(*folders)


def load_model(folder: "str | _Path", *, device: str = "cpu") -> "_Trained":
    """The network that a run of the shipped application has trained, ready to predict. See `sweeps.vision.predict`."""
    from sweeps.vision import predict

    return predict.load_model(folder, device=device)
