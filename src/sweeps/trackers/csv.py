"""The metrics of a run as `metrics.csv` in its folder, for spreadsheets."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from sweeps.record.files import atomic_write, open_to_append, read_bytes
from sweeps.record.records import RunDir, RunRecord
from sweeps.terminal import without_formula
from sweeps.trackers.tracker import Tracker

NAME = "metrics.csv"


class CsvTracker(Tracker):
    """One line per report, a column per metric. A new metric gets a column, empty in the lines before."""

    def open(self, run: RunDir, record: RunRecord, rows: list[dict[str, Any]]) -> None:
        """Start with the rows that are done."""
        self._path = run.path / NAME
        self._replace([_safe(row) for row in rows])

    def report(self, row: Mapping[str, Any]) -> None:
        """Add a line."""
        line = _safe(row)
        if line.keys() <= set(self._names):
            with open_to_append(self._path) as file:
                file.write(_text(self._names, [line]).encode())
        else:
            before = csv.DictReader(io.StringIO(read_bytes(self._path).decode(), newline=""))
            self._replace([*before, line])

    def _replace(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self._names = list(dict.fromkeys(name for row in rows for name in row))
        header = dict(zip(self._names, self._names, strict=True))
        content = _text(self._names, [header, *rows]) if rows else ""
        atomic_write(self._path, content.encode(), durable=False)


def _safe(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        without_formula(name): without_formula(value) if isinstance(value, str) else value
        for name, value in row.items()
    }


def _text(names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    csv.DictWriter(text, names, lineterminator="\n").writerows(rows)
    return text.getvalue()
