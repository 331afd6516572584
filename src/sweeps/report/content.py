"""What a report is made from: ranked rows with their records and reports, in settings. Never imports torch."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from sweeps.record.identity import labels
from sweeps.record.provenance import invocations_of
from sweeps.record.records import Status
from sweeps.results import format as text
from sweeps.results.columns import Column, columns_of, in_all_runs, swept_columns
from sweeps.results.ranking import objectives, rank
from sweeps.results.runs import Objective, RunRow, load
from sweeps.results.settings import Setting, has_repeats, judged, settings_of

# Colours of Okabe and Ito ("Color Universal Design", 2008), which people with any colour vision distinguish, without
# the yellow and the black, which vanish on one of the two backgrounds. A line's dashes in pixels (on, off ...) and the
# shape of a point say the same.
Look = tuple[str, tuple[int, ...], str]
LOOKS: tuple[Look, ...] = (
    ("#0072b2", (1, 0), "circle"),
    ("#d55e00", (8, 3), "square"),
    ("#009e73", (2, 2), "triangle-up"),
    ("#cc79a7", (8, 3, 2, 3), "diamond"),
    ("#e69f00", (5, 2), "cross"),
    ("#56b4e9", (12, 4), "triangle-down"),
    ("#7f7f7f", (1, 3), "triangle-right"),
    ("#a68a00", (4, 4), "circle"),
    ("#9467bd", (10, 2, 2, 2), "square"),
    ("#8c6d5a", (6, 6), "diamond"),
    ("#3f8f8f", (3, 1), "triangle-left"),
)

_OWN = ("step", "elapsed")  # what the engine adds to a row of metrics


@dataclass(frozen=True)
class Entry:
    """One run: its row, and what the row leaves out."""

    key: str  # of its place in the page
    label: str  # its overrides, without those that all runs share
    row: RunRow
    reports: list[dict[str, Any]]
    trouble: str = ""

    @property
    def is_pruned(self) -> bool:
        """Whether it was stopped early: its values are those of a shorter training, and beside whole ones mislead."""
        return self.row.status == Status.PRUNED

    def curve(self, metric: str) -> dict[float, float]:
        """The metric by step, where there is one."""
        points = ((text.number(row.get("step")), text.number(row.get(metric))) for row in self.reports)
        return {step: value for step, value in points if step is not None and value is not None}

    def cost(self, name: str) -> float | None:
        """`seconds`, or a fact that is a number; None where the run has no result."""
        value = self.row.seconds if name == "seconds" else self.row.facts.get(name)
        return text.number(value) if self.row.has_result else None


@dataclass(frozen=True)
class Content:
    """A report's content; `entries` are ranked, `objective` is that of most runs, and `judged` are all settings."""

    folders: tuple[Path, ...]
    entries: list[Entry]
    columns: list[Column]  # of the table: those in which runs differ
    in_all_runs: list[str]  # what others would hold: `px=28`
    objective: Objective | None
    judged: list[Setting]
    invocations: list[dict[str, Any]] = field(default_factory=list)

    @property
    def rows(self) -> list[RunRow]:
        """The ranked rows."""
        return [entry.row for entry in self.entries]

    @property
    def has_repeats(self) -> bool:
        """Whether settings compare over their seeds; then no single run is called the best."""
        return has_repeats(self.judged)

    @property
    def metric(self) -> str:
        """What to call the objective."""
        return self.objective.name if self.objective else ""

    @property
    def gain(self) -> Callable[[float], float] | None:
        """Turns a value so that more is better; None where no direction is set."""
        return self.objective.gain if self.objective and self.objective.is_ranked else None

    @cached_property
    def compared(self) -> list[Entry]:
        """The runs of the objective that most runs have."""
        return [entry for entry in self.entries if entry.row.objective and entry.row.objective == self.objective]

    @cached_property
    def settings(self) -> list[Setting]:
        """The settings of the compared runs, the best first."""
        return [setting for setting in self.judged if setting.objective == self.objective]

    @cached_property
    def axes(self) -> list[Column]:
        """The swept keys in the order of the table's columns."""
        rows = [entry.row for entry in self.compared]
        swept = [column for column in swept_columns(rows) if column.key != "setting_id"]
        return [column for column in swept if len({column.show(row) for row in rows}) > 1]

    @cached_property
    def colour(self) -> Column | None:
        """The first swept key that is no number, and has no more values than there are colours."""
        names = (axis for axis in self.axes if not axis.right)
        return next((axis for axis in names if len({axis.show(row) for row in self.rows}) <= len(LOOKS)), None)

    @cached_property
    def looks(self) -> dict[str, Look]:
        """The look of each category, the same in every report of the same categories."""
        names = sorted({self.category(setting.runs[0]) for setting in self.settings})
        return {name: LOOKS[place % len(LOOKS)] for place, name in enumerate(names)}

    def category(self, row: RunRow) -> str:
        """What a run is coloured by; the same for all where no key does it."""
        return self.colour.show(row) if self.colour else ""

    def drawn(self, setting: Setting) -> list[Entry]:
        """The runs whose curves make that of a setting, the best first: pruned ones only where there are no others."""
        entries = [self._by_path[row.path] for row in setting.runs]
        return [entry for entry in entries if not entry.is_pruned] or entries

    @cached_property
    def _by_path(self) -> dict[Path, Entry]:
        return {entry.row.path: entry for entry in self.entries}

    def entry_of(self, run: Path | None) -> Entry | None:
        """The entry of the run in this folder."""
        return self._by_path.get(run) if run else None

    @cached_property
    def metrics(self) -> list[str]:
        """Metrics with a curve, the objective first: those that change within a run, as they were reported."""
        found = dict.fromkeys([self.objective.metric] if self.objective and self.objective.metric else [])
        for entry in self.compared:
            for key in dict.fromkeys(key for row in entry.reports for key in row if key not in _OWN):
                if key not in found and len(set(entry.curve(key).values())) > 1:
                    found[key] = None
        return list(found)

    @cached_property
    def costs(self) -> list[str]:
        """What objectives are weighed against: the time, and every fact that is a number."""
        facts = dict.fromkeys(key for entry in self.compared for key in entry.row.facts)
        return ["seconds", *(key for key in facts if any(entry.cost(key) is not None for entry in self.compared))]


def read(folders: Sequence[Path]) -> Content:
    """All that there is at and below `folders`.

    Raises:
        RecordError: a folder does not exist, or holds no runs.
    """
    rows = rank(load(folders))
    found = objectives(rows)
    sweeps = dict.fromkeys(Path(os.path.abspath(row.path)).parent for row in rows)  # noqa: PTH100 - see `load`
    starts = [start for folder in sweeps for start in invocations_of(folder)]
    entries = []
    for place, (row, label) in enumerate(
        zip(rows, labels([row.name.split(",") for row in rows]), strict=True), start=1
    ):
        reports, trouble = row.reports() if row.record else ([], "")
        entries.append(Entry(f"run-{place}", label or row.name, row, reports, "" if row.problem else trouble))
    columns, same = in_all_runs(rows, columns_of(rows))
    objective = found[0] if found else None
    return Content(tuple(folders), entries, columns, same, objective, judged(settings_of(rows)), starts)
