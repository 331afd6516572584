"""What a run tells whoever watches it. The base class is the silent one."""

import time
from collections.abc import Mapping
from typing import Any

from sweeps.records import RunRecord


class Progress:
    """Hears of a run and shows nothing; displays override what they need."""

    def begin(self, record: RunRecord, *, epochs: int, batches: int) -> None:
        """A run starts, or goes on after `record.epochs` epochs; an epoch has `batches` training batches."""

    def batch(self, phase: str, epoch: int, done: int, total: int, loss: float, acc: float, rate: float) -> None:
        """At most once a second: where the pass `phase` of `epoch` stands; `rate` is in examples per second."""

    def epoch(self, row: Mapping[str, Any]) -> None:
        """An epoch is over; `row` is its line of metrics.jsonl."""

    def end(self, record: RunRecord, *, skipped: bool = False) -> None:
        """The run is over, or was `skipped` because it had finished before."""


class Ticker:
    """Is it time? True at most once every `interval` seconds."""

    def __init__(self, interval: float = 1.0) -> None:
        self._interval = interval
        self._next = time.monotonic() + interval

    def due(self) -> bool:
        """Whether `interval` seconds have passed since this was last true."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + self._interval
        return True
