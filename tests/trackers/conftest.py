"""Runs that are driven by hand, and TensorBoard's own reader on what a tracker wrote."""

import itertools
import time
from pathlib import Path

import pytest
import tensorboardX.event_file_writer
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sweeps.record.records import Objective, RunDir, RunRecord, Status

EVERYTHING = {"scalars": 0, "images": 0, "tensors": 0}  # no sampling


def new_record(*overrides, facts=(), config=None, name="lr=0.1", **fields):
    """The record of a run that starts."""
    return RunRecord(
        run_id="0123456789ab",
        setting_id="ba9876543210",
        name=name,
        sweep="study",
        status=Status.RUNNING,
        objective=Objective("val_loss", "min", "val", "last"),
        seed=0,
        overrides=list(overrides),
        config=config or {"optim": {"name": "sgd", "lr": 0.1}, "seed": 0, "sweep": {"name": "study"}},
        ignore=["sweep"],
        facts=dict(facts),
        **fields,
    )


def rows_of(count, first=1, **more):
    """Rows of metrics, a second apart."""
    return [
        {"step": step, "elapsed": float(step), "train_loss": 1 / step, "val_loss": 2 / step, **more}
        for step in range(first, first + count)
    ]


def follow(tracker, run: RunDir, record, rows, *, done=0, end=Status.COMPLETED):
    """Let `tracker` follow a run that has these rows, the first `done` of them from an earlier attempt."""
    run.path.mkdir(parents=True, exist_ok=True)
    run.write_metrics(rows[:done])
    tracker.open(run, record, rows[:done])
    for row in rows[done:]:
        run.append_metrics(row)
        tracker.report(row)
    if end is not None:
        tracker.close(end)
    return tracker


def read(folder: Path) -> EventAccumulator:
    """All that TensorBoard would show of a run."""
    return EventAccumulator(str(folder), size_guidance=EVERYTHING).Reload()


def points(events, tag):
    """The points of a curve: step to value; a step that is there twice is a mistake."""
    steps = [event.step for event in events.Scalars(tag)]
    assert len(steps) == len(set(steps)), f"{tag} has steps {steps}"
    return {event.step: event.value for event in events.Scalars(tag)}


@pytest.fixture
def run(tmp_path):
    """Where a run leaves its files, in the folder of its sweep."""
    return RunDir(tmp_path / "study" / "lr=0.1")


class Clock:
    """The module `time`, with a clock of its own."""

    def __init__(self, times):
        self._times = iter(times)

    def time(self):
        return next(self._times)

    def __getattr__(self, name):
        return getattr(time, name)


@pytest.fixture
def same_second(monkeypatch):
    """Event files are named by the second in which they were begun: let all begin in the same one."""
    monkeypatch.setattr(tensorboardX.event_file_writer, "time", Clock(itertools.repeat(1_700_000_000.0)))
