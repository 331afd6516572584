"""Runs that share settings, as mean, spread and count; and the model x learning-rate matrix."""

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sweeps.analysis.columns import Column, columns_of
from sweeps.analysis.ranking import criteria
from sweeps.analysis.rows import Criterion, RunRow
from sweeps.records import Status


@dataclass(frozen=True)
class Group:
    """Runs that agree in some columns and in their objective.

    `results` are the objectives of the runs that have one; `n`, `mean`, `std` (with n - 1; None below two runs) and
    `best` are theirs. `counts` tells how many runs ended how, `apart` the same of those without a result: a mean over
    survivors alone flatters, so they stand beside it.
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

    @property
    def is_evidence(self) -> bool:
        """Whether there is a spread: one run says nothing about the next."""
        return self.n > 1


def group_by(rows: Sequence[RunRow], columns: Sequence[Column]) -> list[Group]:
    """`rows` by what `columns` show: groups with a spread by their mean, then single runs, then those without any."""
    members: dict[tuple[Criterion | None, tuple[str, ...]], list[RunRow]] = {}
    for row in rows:
        members.setdefault((row.criterion, tuple(column.show(row) for column in columns)), []).append(row)
    places: dict[Criterion | None, int] = {criterion: place for place, criterion in enumerate(criteria(rows))}
    groups = [_group(criterion, keys, of, columns) for (criterion, keys), of in members.items()]

    def key(group: Group) -> tuple[int, int, float]:
        gain = group.criterion.gain(group.mean) if group.criterion and group.mean is not None else 0.0
        return places.get(group.criterion, len(places)), 2 - min(group.n, 2), -gain

    return sorted(groups, key=key)


def _group(
    criterion: Criterion | None, keys: tuple[str, ...], members: Sequence[RunRow], columns: Sequence[Column]
) -> Group:
    counts = Counter(row.status for row in members)
    apart = Counter(row.status for row in members if not row.has_full_figure)
    raw = tuple(column.get(members[0]) for column in columns)
    values = [row.value for row in members if row.has_full_figure and row.value is not None]
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
    )


def best_group(groups: Iterable[Group], criterion: Criterion | None) -> Group | None:
    """The group to mark: the first with a spread."""
    return next((group for group in groups if group.criterion == criterion and group.is_evidence), None)


def differing_within(rows: Sequence[RunRow], keys: Sequence[Column], columns: Sequence[Column]) -> list[Column]:
    """The settings that a mean over groups by `keys` runs over."""
    names = {column.key for column in keys}
    found = []
    for column in columns:
        seen: dict[tuple[str, ...], str] = {}
        if column.is_setting and column.key not in names:
            pairs = ((tuple(key.show(row) for key in keys), column.show(row)) for row in rows if row.has_result)
            if any(seen.setdefault(group, shown) != shown for group, shown in pairs):
                found.append(column)
    return found


class Place(NamedTuple):
    """A cell of the matrix."""

    model: str
    lr: float | None


@dataclass(frozen=True)
class Matrix:
    """Model x learning rate: in each cell the best of its configurations, as a group over seeds.

    `others` counts the runs of a cell that have no result. `also_differ` names the settings besides model, rate and
    seed in which the runs of one cell differ.
    """

    criterion: Criterion
    models: list[str]
    rates: list[float | None]
    cells: dict[Place, Group]
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
    members = [row for row in rows if row.criterion == found[0] or (row.criterion is None and row.lr is not None)]
    columns = [column for column in columns_of(members) if column.is_setting]
    seedless = [column for column in columns if column.key != "seed"]
    groups: dict[Place, list[Group]] = {}
    others: dict[Place, Counter[str]] = {}
    placed: dict[Place, list[RunRow]] = {}
    for row in members:
        placed.setdefault(Place(row.model, row.lr), []).append(row)
    for place, of in placed.items():
        # A pruned run has the figure of a shorter training: beside whole ones it would mislead either way.
        whole = [row for row in of if row.status != Status.PRUNED]
        groups[place] = [group for group in group_by(whole, seedless) if group.n]
        others[place] = Counter(row.status for row in of if not row.has_result or row.status == Status.PRUNED)
    cells = {place: max(found_here, key=_gain) for place, found_here in groups.items() if found_here}
    keys = [column for column in columns if column.key in ("model", "lr")]
    highest = max(map(_gain, cells.values()), default=None)
    return Matrix(
        criterion=found[0],
        models=list(dict.fromkeys(place.model for place in placed)),
        rates=sorted({place.lr for place in placed}, key=lambda lr: (lr is None, lr or 0.0)),
        cells=cells,
        others=others,
        best=frozenset(place for place, group in cells.items() if _gain(group) == highest),
        also_differ=[column.key for column in differing_within(members, keys, columns) if column.key != "seed"],
    )


def _gain(group: Group) -> float:
    return group.criterion.gain(group.mean) if group.criterion and group.mean is not None else -float("inf")
