"""TensorBoard's own reader, on what the tracker wrote."""

import itertools
import time
from pathlib import Path

import pytest
import tensorboardX.event_file_writer
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

EVERYTHING = {"scalars": 0, "images": 0, "tensors": 0}  # no sampling


def read(folder: Path) -> EventAccumulator:
    """All that TensorBoard would show of a run."""
    return EventAccumulator(str(folder), size_guidance=EVERYTHING).Reload()


def points(events, tag):
    """The points of a curve: step to value; a step that is there twice is a mistake."""
    steps = [event.step for event in events.Scalars(tag)]
    assert len(steps) == len(set(steps)), f"{tag} has steps {steps}"
    return {event.step: event.value for event in events.Scalars(tag)}


class Clock:
    """The module `time`, with a clock of its own."""

    def __init__(self, times):
        self._times = iter(times)

    def time(self):
        return next(self._times)

    def __getattr__(self, name):
        return getattr(time, name)


@pytest.fixture
def seconds_apart(monkeypatch):
    """Event files are named by the second in which they were begun: let no two begin in the same one."""
    clock = Clock(itertools.count(1_700_000_000.0))
    monkeypatch.setattr(tensorboardX.event_file_writer, "time", clock)


@pytest.fixture
def same_second(monkeypatch):
    """Let all event files begin in the same second."""
    monkeypatch.setattr(tensorboardX.event_file_writer, "time", Clock(itertools.repeat(1_700_000_000.0)))
