"""Cells: runs that differ in nothing but their seed; what a cell achieves, how sure that is, who ties with the best."""

import dataclasses
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from sweeps.record.identity import has_effect
from sweeps.record.records import Status
from sweeps.results.columns import Column, telling_columns
from sweeps.results.format import number
from sweeps.results.inference import ALPHA, Interval, holm, interval, pairwise
from sweeps.results.ranking import criteria
from sweeps.results.runs import Criterion, RunRow

NEAR_CHANCE = 1.5  # times the accuracy of guessing: a network that reaches no more has collapsed

BEST, TIED, WORSE, UNCERTAIN = "best", "tied", "worse", "not evidence"


@dataclass(frozen=True)
class Cell:
    """One setting over its seeds.

    `by_seed` holds the objective of the completed runs: what was pruned has the figure of a shorter training, what
    diverged has none. `collapsed` counts the runs that diverged or got no better than chance; those that did end
    stay in the mean. `standing` is best, tied, worse or "not evidence"; `p` is that of the comparison with the best.
    """

    label: str
    keys: tuple[str, ...]
    rows: tuple[RunRow, ...]
    criterion: Criterion | None
    by_seed: dict[int, float]
    collapsed: int
    apart: Counter[str] = field(default_factory=Counter)
    interval: Interval | None = None
    standing: str = UNCERTAIN
    p: float | None = None

    @property
    def n(self) -> int:
        """How many seeds have a figure."""
        return len(self.by_seed)

    @property
    def mean(self) -> float | None:
        """The mean over the seeds; None without any."""
        return statistics.fmean(self.by_seed.values()) if self.by_seed else None

    @property
    def std(self) -> float | None:
        """The standard deviation over the seeds (with n - 1); None below two."""
        return statistics.stdev(self.by_seed.values()) if self.n > 1 else None

    @property
    def gain(self) -> float:
        """The mean, turned so that more is better; the lowest number without one."""
        return -float("inf") if self.criterion is None or self.mean is None else self.criterion.gain(self.mean)


def setting_keys(rows: Sequence[RunRow]) -> list[tuple[Criterion | None, str, str]]:
    """For each run what it shares with the others of its setting: objective, identity, and where it matters the sweep.

    It does where two sweeps did the same run, seed included: their figures stay apart, as nobody repeats in vain.
    """
    settings = [(row.criterion, row.setting) for row in rows]
    done = Counter((setting, row.seed) for setting, row in zip(settings, rows, strict=True))
    twice = {setting for (setting, _), count in done.items() if count > 1}
    return [(*one, row.sweep if one in twice else "") for one, row in zip(settings, rows, strict=True)]


def cell_columns(rows: Sequence[RunRow]) -> list[Column]:
    """The columns that tell cells apart: every setting but the seed that can change a result."""
    by_sweep = any(sweep for _, _, sweep in setting_keys(rows))
    return [
        column
        for column in telling_columns(rows)
        if column.key != "seed" and (has_effect(column.key) or (column.key == "sweep" and by_sweep))
    ]


def interval_of(values: Sequence[float], criterion: Criterion | None) -> Interval | None:
    """The interval of the mean of `values`, within what the figure can be: no accuracy is below 0 or above 1."""
    found = interval(values)
    return found if found is None or criterion is None else found.within(*criterion.bounds)


def cells_of(rows: Sequence[RunRow], columns: Sequence[Column] | None = None) -> list[Cell]:
    """The cells of `rows`, those with a spread first, the best mean first; not judged yet (see `judged`)."""
    known = [row for row in rows if row.criterion is not None]
    columns = cell_columns(rows) if columns is None else columns
    members: dict[tuple[Criterion | None, str, str], list[RunRow]] = {}
    for key, row in zip(setting_keys(known), known, strict=True):
        members.setdefault(key, []).append(row)
    shown = [tuple(column.show(of[0]) for column in columns) for of in members.values()]
    telling = [place for place in range(len(columns)) if len({keys[place] for keys in shown}) > 1]
    cells = [
        _cell(of[0].criterion, keys, of, _label(columns, keys, telling or [0]))
        for keys, of in zip(shown, members.values(), strict=True)
    ]
    order: dict[Criterion | None, int] = {criterion: place for place, criterion in enumerate(criteria(known))}
    return sorted(cells, key=lambda cell: (order.get(cell.criterion, 0), 2 - min(cell.n, 2), -cell.gain))


def judged(cells: Sequence[Cell], *, with_intervals: bool = True) -> list[Cell]:
    """`cells` with their intervals (unless nobody wants them) and their standing against the best of their objective.

    The best was chosen by looking at all of them, so every two cells count as compared: Holm's correction runs over
    all pairs, and among cells that do not differ even one is called worse in at most 5 % of the tables.
    """
    found = list(cells)
    if with_intervals:
        intervals = [interval_of(list(cell.by_seed.values()), cell.criterion) for cell in cells]
        found = [dataclasses.replace(cell, interval=one) for cell, one in zip(cells, intervals, strict=True)]
    for criterion in dict.fromkeys(cell.criterion for cell in cells):
        places = [at for at, cell in enumerate(found) if cell.criterion == criterion and cell.n > 1]
        if not places:
            continue
        best = max(places, key=lambda at: found[at].gain)
        found[best] = dataclasses.replace(found[best], standing=BEST)
        if len(places) == 1:
            continue
        raw = pairwise([found[at].by_seed for at in places])
        corrected = dict(zip(raw, holm(list(raw.values())), strict=True))
        top = places.index(best)
        for place, at in enumerate(places):
            p = corrected.get((min(place, top), max(place, top)))
            if p is not None:
                found[at] = dataclasses.replace(found[at], standing=WORSE if p < ALPHA else TIED, p=p)
    return found


def has_repeats(cells: Sequence[Cell]) -> bool:
    """Whether any cell has a spread."""
    return any(cell.n > 1 for cell in cells)


def has_collapsed(row: RunRow) -> bool:
    """Whether a finished run ended in NaN or no better than chance."""
    if row.status == Status.DIVERGED:
        return True
    if row.status == Status.PRUNED:
        return False  # its training was too short to tell
    classes = number(row.settings.get("dataset.classes"))
    accuracy = number(row.last.get("train_acc"))
    accuracy = row.last_acc if accuracy is None else accuracy
    return row.is_finished and bool(classes) and accuracy is not None and accuracy * (classes or 1) <= NEAR_CHANCE


def _cell(criterion: Criterion | None, keys: tuple[str, ...], rows: Sequence[RunRow], label: str) -> Cell:
    by_seed: dict[int, float] = {}
    for row in rows:
        if row.has_full_figure and row.value is not None:
            by_seed.setdefault(row.seed or 0, row.value)
    return Cell(
        label,
        keys,
        tuple(rows),
        criterion,
        by_seed,
        collapsed=sum(has_collapsed(row) for row in rows),
        apart=Counter(row.status for row in rows if not row.has_full_figure),
    )


def _label(columns: Sequence[Column], keys: Sequence[str], places: Sequence[int]) -> str:
    return ", ".join(f"{columns[at].header} {keys[at]}" if columns[at].key != "model" else keys[at] for at in places)
