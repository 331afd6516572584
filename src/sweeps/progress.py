"""What a run tells whoever watches it. The base class is the silent one. This module never imports torch."""

from collections.abc import Mapping
from typing import Any

from sweeps.record.records import RunRecord


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

    def stop_requested(self) -> bool:
        """Whether the run should end after this epoch, with a checkpoint to go on from."""
        return False


class Interrupted(KeyboardInterrupt):
    """A run that stopped where it was asked to, with its checkpoint written."""
