"""Runs that share settings, as mean, spread and count; and the model x learning-rate matrix."""

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from sweeps.results.columns import Column, has_effect, telling_columns
from sweeps.results.inference import Interval
from sweeps.results.ranking import criteria
from sweeps.results.runs import Criterion, RunRow
from sweeps.results.settings import Cell, cell_columns, cells_of, has_repeats, interval_of


@dataclass(frozen=True)
class Group:
    """Runs that agree in some columns and in their objective.

    `results` are the objectives of the whole runs; `n`, `mean`, `std` (with n - 1; None below two runs) and `best` are
    theirs, and `differs_in` names the settings that can change a figure in which they differ. `counts` tells how many
    runs ended how, `apart` the same of those without such a figure: a mean over survivors alone flatters, so they
    stand beside it.
    """

    criterion: Criterion | None
    keys: tuple[str, ...]
    values: tuple[Any, ...]
    counts: Counter[str]
    apart: Counter[str]
    n: int = 0
    mean: float | None = None
    std: float | None = None
    best: float | None = None
    results: tuple[float, ...] = ()
    differs_in: tuple[str, ...] = ()

    @property
    def has_spread(self) -> bool:
        """Whether there are two runs or more."""
        return self.n > 1

    @property
    def is_evidence(self) -> bool:
        """Whether the mean is over seeds and nothing else: a single run says nothing about the next."""
        return self.has_spread and self.differs_in == ("seed",)

    @cached_property
    def interval(self) -> Interval | None:
        """The mean's 95 % interval over seeds; over anything else it would mean nothing."""
        return interval_of(self.results, self.criterion) if self.is_evidence else None


def group_by(rows: Sequence[RunRow], columns: Sequence[Column]) -> list[Group]:
    """`rows` by what `columns` show: groups with a spread by their mean, then single runs, then those without any."""
    members: dict[tuple[Criterion | None, tuple[str, ...]], list[RunRow]] = {}
    for row in rows:
        members.setdefault((row.criterion, tuple(column.show(row) for column in columns)), []).append(row)
    places: dict[Criterion | None, int] = {criterion: place for place, criterion in enumerate(criteria(rows))}
    wanted = {column.key for column in columns}
    telling = [column for column in telling_columns(rows) if has_effect(column.key) and column.key not in wanted]
    groups = [_group(criterion, keys, of, columns, telling) for (criterion, keys), of in members.items()]

    def key(group: Group) -> tuple[int, int, float]:
        return places.get(group.criterion, len(places)), 2 - min(group.n, 2), -_gain(group)

    return sorted(groups, key=key)


def _group(
    criterion: Criterion | None,
    keys: tuple[str, ...],
    members: Sequence[RunRow],
    columns: Sequence[Column],
    telling: Sequence[Column],
) -> Group:
    counts = Counter(row.status for row in members)
    apart = Counter(row.status for row in members if not row.has_full_figure)
    raw = tuple(column.get(members[0]) for column in columns)
    whole = [row for row in members if row.has_full_figure]
    values = [row.value for row in whole if row.value is not None]
    if criterion is None or not values:
        return Group(criterion, keys, raw, counts, apart)
    return Group(
        criterion,
        keys,
        raw,
        counts,
        apart,
        n=len(values),
        mean=statistics.fmean(values),
        std=statistics.stdev(values) if len(values) > 1 else None,
        best=max(values, key=criterion.gain),
        results=tuple(values),
        differs_in=tuple(column.key for column in telling if len({column.show(row) for row in whole}) > 1),
    )


def best_group(groups: Iterable[Group], criterion: Criterion | None) -> Group | None:
    """The group to mark: the best one with a spread."""
    return max((one for one in groups if one.criterion == criterion and one.has_spread), key=_gain, default=None)


def _gain(group: Group) -> float:
    return group.criterion.gain(group.mean) if group.criterion and group.mean is not None else -float("inf")


class Place(NamedTuple):
    """A cell of the matrix."""

    model: str
    lr: float | None


@dataclass(frozen=True)
class Matrix:
    """Model x learning rate: in each place the best of its cells, one with repeats before single runs.

    `best` follows the rule of the table of cells: where anything was repeated, single runs do not compete. `others`
    counts the runs of a place that have no full figure. `also_differ` names the settings besides model, rate and seed
    in which the cells of one place differ.
    """

    criterion: Criterion
    models: list[str]
    rates: list[float | None]
    cells: dict[Place, Cell]
    others: dict[Place, Counter[str]]
    best: frozenset[Place]  # several where means are equal
    also_differ: list[str]


def matrix_of(rows: Sequence[RunRow]) -> Matrix | None:
    """The matrix over the runs of the objective that most runs have; None where there are none.

    Models stand in the order of `rows` (the best first, after `rank`), rates in ascending order.
    """
    found = criteria(rows)
    if not found:
        return None
    placed: dict[Place, list[RunRow]] = {}
    for row in rows:
        if row.criterion == found[0] or (row.criterion is None and row.lr is not None):
            placed.setdefault(Place(row.model, row.lr), []).append(row)
    columns = cell_columns(rows)
    of_place: dict[Place, list[Cell]] = {}
    for cell in cells_of(rows, columns):
        if cell.criterion == found[0] and cell.n:
            of_place.setdefault(Place(cell.rows[0].model, cell.rows[0].lr), []).append(cell)
    cells = {place: max(of, key=lambda cell: (cell.n > 1, cell.gain)) for place, of in of_place.items()}
    repeated = has_repeats(list(cells.values()))
    competing = {place: cell.gain for place, cell in cells.items() if cell.n > 1 or not repeated}
    highest = max(competing.values(), default=None)
    return Matrix(
        criterion=found[0],
        models=list(dict.fromkeys(place.model for place in placed)),
        rates=sorted({place.lr for place in placed}, key=lambda lr: (lr is None, lr or 0.0)),
        cells=cells,
        others={place: Counter(row.status for row in of if not row.has_full_figure) for place, of in placed.items()},
        best=frozenset(place for place, gain in competing.items() if gain == highest),
        also_differ=[
            column.key
            for at, column in enumerate(columns)
            if any(len({cell.keys[at] for cell in of}) > 1 for of in of_place.values())
        ],
    )
