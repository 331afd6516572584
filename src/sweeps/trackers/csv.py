"""The curves of a run as `metrics.csv` in its folder, for spreadsheets."""

import csv
import io
from collections.abc import Mapping
from typing import Any

from sweeps.record.files import atomic_write
from sweeps.record.records import RunDir, RunRecord
from sweeps.trackers.tracker import NullTracker

NAME = "metrics.csv"


class CsvTracker(NullTracker):
    """One line per epoch, a column per figure; replaced as a whole, so a reader never sees a part."""

    def open(self, run: RunDir, record: RunRecord, *, epochs_done: int) -> None:
        """Start with the epochs that are done."""
        self._path = run.path / NAME
        self._rows: list[dict[str, Any]] = run.read_metrics()[:epochs_done] if epochs_done else []
        self._write()

    def epoch(self, row: Mapping[str, Any]) -> None:
        """Add a line."""
        self._rows.append(dict(row))
        self._write()

    def _write(self) -> None:
        names = list(dict.fromkeys(key for row in self._rows for key in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._rows)
        atomic_write(self._path, text.getvalue().encode(), durable=False)
