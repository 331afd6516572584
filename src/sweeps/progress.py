"""What a run says to a display. The base class is the silent one. This module never imports torch."""

from collections.abc import Mapping
from typing import Any

from sweeps.record.records import RunRecord


class Progress:
    """Receives the events of a run and shows nothing; displays override what they need."""

    def begin(self, record: RunRecord) -> None:
        """A run starts, or resumes after `record.steps` steps of `record.max_steps`, which may be None."""

    def update(self, step: float, text: str) -> None:
        """At most once a second: the run is at `step`, which may lie between two reports; `text` says more."""

    def report(self, row: Mapping[str, Any]) -> None:
        """A report was written; `row` is its line of metrics.jsonl."""

    def end(self, record: RunRecord, *, skipped: bool = False) -> None:
        """The run is over, or was `skipped` because it was already complete."""

    def stop_requested(self) -> bool:
        """Whether the run should stop after its next report, with a checkpoint to resume from."""
        return False
