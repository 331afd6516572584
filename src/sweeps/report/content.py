"""What a report is made from: ranked rows with their records, curves and confusions. Never imports torch."""

import os
import shlex
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweeps.errors import RecordError
from sweeps.record.identity import labels
from sweeps.record.provenance import invocations_of
from sweeps.record.records import RunDir, RunRecord, Status
from sweeps.results import RunRow, load, rank
from sweeps.results.columns import Column, columns_of
from sweeps.results.format import number
from sweeps.results.ranking import criteria
from sweeps.results.runs import Criterion
from sweeps.results.settings import Cell, cell_columns, cells_of, has_repeats, judged, setting_keys
from sweeps.vision import confusion
from sweeps.vision.confusion import Confusion

_CONFIG_OPTIONS = ("--config-dir", "-cd", "--config-path", "-cp", "--config-name", "-cn")
MOST_CLASSES = 100  # of a confusion that is drawn: it has a square for each pair of them
REPEATED = "repeat"  # the sweep that a repeat line names: the old one would be found finished, and skipped


@dataclass(frozen=True)
class Entry:
    """One run: its row, and what the row leaves out. `record` is None where it cannot be read."""

    key: str  # of its place in the page
    label: str  # what of its overrides tells it from the other runs
    row: RunRow
    record: RunRecord | None
    epochs: list[dict[str, Any]]
    trouble: str = ""

    @property
    def is_pruned(self) -> bool:
        """Whether it was stopped early: its figures are those of a shorter training, and beside whole ones mislead."""
        return self.row.status == Status.PRUNED

    def curve(self, metric: str) -> dict[int, float]:
        """The figure by epoch, where there is one."""
        points = ((number(row.get("epoch")), number(row.get(metric))) for row in self.epochs)
        return {int(epoch): value for epoch, value in points if epoch is not None and value is not None}


@dataclass(frozen=True)
class Configuration:
    """The runs that differ in nothing but their seed.

    `mean`, `low`, `high` are over the `n` that have a result and were not stopped early.
    """

    model: str
    label: str
    entries: tuple[Entry, ...]
    n: int
    mean: float | None
    low: float | None
    high: float | None

    @property
    def best(self) -> Entry:
        """Its best ranked run."""
        return self.entries[0]

    @property
    def drawn(self) -> tuple[Entry, ...]:
        """The runs whose curves make its own: pruned ones only where there are no others."""
        return tuple(entry for entry in self.entries if not entry.is_pruned) or self.entries


@dataclass(frozen=True)
class Content:
    """A report's content; `entries` are ranked, and `criterion` is the objective that most of them have."""

    folders: tuple[Path, ...]
    entries: list[Entry]
    columns: list[Column]
    criterion: Criterion | None
    configurations: list[Configuration]
    cells: list[Cell]
    invocations: list[dict[str, Any]] = field(default_factory=list)

    @property
    def rows(self) -> list[RunRow]:
        """The ranked rows."""
        return [entry.row for entry in self.entries]

    @property
    def models(self) -> list[str]:
        """The networks, that of the best run first."""
        return list(dict.fromkeys(one.model for one in self.configurations))

    @property
    def has_repeats(self) -> bool:
        """Whether cells compare over their seeds; then no single run is called the best."""
        return has_repeats(self.cells)

    def confusions(self) -> Iterator[tuple[Entry, Confusion]]:
        """The confusion of each network's best run that has left one.

        A damaged file counts as none, as does one of more classes than a chart can show.
        """
        seen: set[str] = set()
        for entry in self.entries:
            if entry.row.has_full_figure and entry.row.model not in seen:
                found = _confusion(entry)
                if found is not None and len(found.labels) <= MOST_CLASSES:
                    seen.add(entry.row.model)
                    yield entry, found


def read(folders: Sequence[Path]) -> Content:
    """All that there is at and below `folders`.

    Raises:
        RecordError: a folder does not exist, or holds no runs.
    """
    rows = rank(load(folders))
    entries = _entries(rows)
    found = criteria(rows)
    columns = columns_of(rows)
    criterion = found[0] if found else None
    return Content(
        folders=tuple(folders),
        entries=entries,
        columns=columns,
        criterion=criterion,
        configurations=_configurations(entries, criterion),
        cells=judged(cells_of(rows)),
        invocations=list(_invocations(rows)),
    )


def mean_of(values: Sequence[float]) -> float:
    """The mean, never outside of what it is of: an axis would be drawn for the rounding of equal figures."""
    return min(max(statistics.fmean(values), min(values)), max(values))


def repeat_line(record: RunRecord) -> str:
    """The command that does this run again, in a sweep of its own, as one types it in a shell."""
    kept = [one for one in record.overrides if one.partition("=")[0].lstrip("+~") not in ("sweep", "on_mismatch")]
    where = _where(record.environment.get("command") if isinstance(record.environment, dict) else None)
    return shlex.join(["python", "-m", "sweeps", *where, *kept, f"sweep={REPEATED}"])


def _where(command: object) -> Iterator[str]:
    """The options of a recorded command that say where its configs lie."""
    words = iter([str(word) for word in command] if isinstance(command, list) else [])
    for word in words:
        if word.partition("=")[0] in _CONFIG_OPTIONS:
            yield from (word,) if "=" in word else (word, next(words, ""))


def command_line(command: object) -> str:
    """A recorded command as one types it."""
    words = [str(word) for word in command] if isinstance(command, list) else []
    return shlex.join(words)


def _entries(rows: Sequence[RunRow]) -> list[Entry]:
    shown = labels([row.name.split(",") for row in rows]) if rows else []
    return [_entry(f"run-{place}", *pair) for place, pair in enumerate(zip(shown, rows, strict=True), start=1)]


def _entry(key: str, label: str, row: RunRow) -> Entry:
    run = RunDir(row.path)
    record: RunRecord | None = None
    epochs: list[dict[str, Any]] = []
    trouble = ""
    try:
        record = run.read()
        epochs = run.read_metrics()
    except RecordError as error:
        trouble = "" if row.problem else str(error)
    return Entry(key, label or row.name, row, record, epochs, trouble)


def _configurations(entries: Sequence[Entry], criterion: Criterion | None) -> list[Configuration]:
    """In the order of their best runs."""
    if criterion is None:
        return []
    members = [entry for entry in entries if entry.row.criterion == criterion]
    rows = [entry.row for entry in members]
    seedless = [column for column in cell_columns(rows) if column.key != "model"]
    differing = [column for column in seedless if len({column.show(entry.row) for entry in members}) > 1]
    grouped: dict[tuple[object, ...], list[Entry]] = {}
    for key, entry in zip(setting_keys(rows), members, strict=True):
        grouped.setdefault(key, []).append(entry)
    return [_configuration(group, differing) for group in grouped.values()]


def _configuration(group: Sequence[Entry], differing: Sequence[Column]) -> Configuration:
    row = group[0].row
    label = ", ".join(f"{_short(column.header)}={column.show(row)}" for column in differing)
    whole = [entry.row for entry in group if entry.row.has_full_figure]
    values = [row.value for row in whole if row.value is not None]
    mean = mean_of(values) if values else None
    return Configuration(
        row.model, label, tuple(group), len(values), mean, min(values, default=None), max(values, default=None)
    )


def _short(header: str) -> str:
    return header.replace("\n", " ")


def _confusion(entry: Entry) -> Confusion | None:
    try:
        return confusion.read(RunDir(entry.row.path))
    except RecordError:
        return None


def _invocations(rows: Iterable[RunRow]) -> Iterator[dict[str, Any]]:
    """Every start of every sweep that the runs belong to, as its `sweep.json` tells."""
    for folder in dict.fromkeys(Path(os.path.abspath(row.path)).parent for row in rows):  # noqa: PTH100 - see `load`
        yield from invocations_of(folder)
