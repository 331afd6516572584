"""The metrics of a run as `metrics.csv` in its folder, for spreadsheets."""

import csv
import io
import sys
from collections.abc import Iterable, Mapping
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
        self._names = list(dict.fromkeys(name for row in rows for name in row))
        self._replace(_safe(row) for row in rows)

    def report(self, row: Mapping[str, Any]) -> None:
        """Add a line."""
        new = [name for name in row if name not in self._names]
        if not new:
            with open_to_append(self._path) as file:
                file.write(_text(self._names, [_safe(row)]).encode())
            return
        before = csv.DictReader(io.StringIO(read_bytes(self._path, sys.maxsize).decode(), newline=""))
        self._names += new
        self._replace([*before, _safe(row)])

    def _replace(self, rows: Iterable[Mapping[str, Any]]) -> None:
        names = [without_formula(name) for name in self._names]
        header = _text(names, [dict(zip(names, names, strict=True))]) if names else ""
        atomic_write(self._path, (header + _text(names, rows)).encode(), durable=False)


def _safe(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        without_formula(name): without_formula(value) if isinstance(value, str) else value
        for name, value in row.items()
    }


def _text(names: list[str], rows: Iterable[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    csv.DictWriter(text, [without_formula(name) for name in names], lineterminator="\n").writerows(rows)
    return text.getvalue()
