"""The interface of trackers. Never imports torch."""

from collections.abc import Mapping
from typing import Any

from sweeps.record.records import RunDir, RunRecord, Status


class Tracker:
    """Receives the rows of metrics of a run and keeps none; trackers override what they need.

    Whatever a tracker raises is logged, and the run continues without that tracker.
    """

    def open(self, run: RunDir, record: RunRecord, rows: list[dict[str, Any]]) -> None:
        """A run starts, or resumes after `rows`: later points of an earlier attempt must go.

        `record` is the run's own, kept up to date: `record.facts` grow while the run is under way.
        """

    def report(self, row: Mapping[str, Any]) -> None:
        """One line of metrics.jsonl: `step`, `elapsed` (seconds) and the metrics."""

    def close(self, status: Status) -> None:
        """The run is over."""
