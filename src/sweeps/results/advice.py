"""What a sweep's results suggest to do next: a sentence each, with the override to type."""

import itertools
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sweeps.record.records import Status
from sweeps.results import format as text
from sweeps.results.columns import Column, swept_columns
from sweeps.results.inference import ALPHA, holm, pairwise
from sweeps.results.ranking import objectives
from sweeps.results.runs import Objective, RunRow
from sweeps.results.settings import BEST, TIED, Setting, has_repeats

DISAGREE = 0.1  # standard deviation over seeds, as a share of the mean
_FEWEST = 3  # values of a grid that has an inside

_ByValue = dict[float, list[RunRow]]


def advice(rows: Sequence[RunRow], settings: Sequence[Setting]) -> list[str]:
    """The sentences, the most consequential first; none where there is nothing to say."""
    found = objectives(rows)
    if not found or not found[0].is_ranked:
        return []
    finished = [row for row in rows if row.objective == found[0] and row.is_finished]
    grids = [grid for column in swept_columns(rows) for grid in _grids(finished, column, swept_columns(rows))]
    drawn = any((folder / "study.journal").exists() for folder in {row.path.parent for row in rows})
    return [
        *_single_runs(settings),
        *_disagreeing(settings),
        *(sentence for grid in grids for sentence in _values_that_diverge(grid)),
        *([] if drawn else _values_at_the_edge(grids, found[0], 2 if has_repeats(settings) else 1)),
    ]  # values that a search has drawn are no grid with an edge


@dataclass(frozen=True)
class _Grid:
    """Finished runs that differ in nothing but one numeric setting and the seed, by its value.

    `choice` is what they share that is no number (a model, say), `label` what tells them from the other grids.
    """

    column: Column
    choice: tuple[str, ...]
    label: str
    by_value: _ByValue


def _grids(rows: Sequence[RunRow], column: Column, columns: Sequence[Column]) -> Iterator[_Grid]:
    others = [other for other in columns if other.key != column.key]
    found: dict[tuple[str, ...], _ByValue] = {}
    for row in rows:
        value = text.number(column.get(row))
        if value is not None:
            found.setdefault(tuple(other.show(row) for other in others), {}).setdefault(value, []).append(row)
    telling = {at for keys in found for at in range(len(others)) if len({other[at] for other in found}) > 1}
    for keys, by_value in found.items():
        label = ", ".join(f"{others[at].header}={keys[at]}" for at in sorted(telling))
        choice = tuple(cell for cell, other in zip(keys, others, strict=True) if not other.right)
        yield _Grid(column, choice, f"{label}: " if label else "", by_value)


def _sentence(grid: _Grid, text: str) -> str:
    return f"{grid.label}{text}" if grid.label else text[0].upper() + text[1:]


def _single_runs(settings: Sequence[Setting]) -> Iterator[str]:
    if sum(one.n > 0 for one in settings) > 1 and not has_repeats(settings):
        yield (
            "Every setting has a single run (n = 1), which is not evidence: the next seed may give another order. "
            "Repeat the best ones with sweep.repeats=5."
        )


def _disagreeing(settings: Sequence[Setting]) -> Iterator[str]:
    for one in settings:
        if one.std is None or one.mean is None or one.standing not in (BEST, TIED):
            continue  # its rank is settled, or does not matter
        if one.std > DISAGREE * abs(one.mean):
            low, high = min(one.figures), max(one.figures)
            yield (
                f"{one.label}: its seeds disagree ({text.figure(low)} to {text.figure(high)}): its rank is not settled "
                "before there are more of them."
            )


def _values_that_diverge(grid: _Grid) -> Iterator[str]:
    sound = [value for value, of in grid.by_value.items() if any(row.status != Status.DIVERGED for row in of)]
    lost = sorted(value for value in grid.by_value if not sound or value > max(sound))
    if sound and lost:
        start = f"{grid.column.key}={text.setting(lost[0])}"
        yield _sentence(grid, f"every run from {start} on diverged: leave those values out.")


def _values_at_the_edge(grids: Sequence[_Grid], objective: Objective, least: int) -> Iterator[str]:
    """For each numeric setting and choice of the others, its best grid alone.

    Where anything was repeated single runs do not compete, as in the table of settings, and a value is the best only
    where all others are shown to be worse.
    """
    best: dict[tuple[str, tuple[str, ...]], tuple[float, float, _Grid]] = {}
    for grid in grids:
        figures = {value: _by_seed(of) for value, of in grid.by_value.items()}
        gains = {
            value: objective.gain(statistics.fmean(of.values())) for value, of in figures.items() if len(of) >= least
        }
        if len(figures) >= _FEWEST and gains:
            winner, place = max(gains, key=lambda value: gains[value]), (grid.column.key, grid.choice)
            if place not in best or gains[winner] > best[place][0]:
                best[place] = gains[winner], winner, grid
    for _, winner, grid in best.values():
        if winner in (min(grid.by_value), max(grid.by_value)) and _stands_out(grid.by_value, winner, least):
            edge = _sentence(grid, f"the best {grid.column.header} is at the edge of its grid")
            further = ",".join(_beyond(sorted(grid.by_value), winner))
            yield f"{edge}; extend it: {grid.column.key}={further}." if further else f"{edge}; try values beyond it."


def _by_seed(rows: Sequence[RunRow]) -> dict[object, float]:
    return {row.seed: row.value for row in rows if row.counts and row.value is not None}


def _stands_out(by_value: _ByValue, winner: float, least: int) -> bool:
    """Whether every other value is shown to be worse; of single runs, whether none has the same objective."""
    best, *others = [_by_seed(by_value[value]) for value in sorted(by_value, key=lambda value: value != winner)]
    others = [other for other in others if other]
    if least == 1:
        return all(statistics.fmean(best.values()) != statistics.fmean(other.values()) for other in others)
    return all(p < ALPHA for p in holm([pairwise([best, other]).get((0, 1), 1.0) for other in others]))


def _beyond(values: list[float], winner: float) -> Iterator[str]:
    """Two values past the edge at which `winner` lies, where the grid grows by even factors, or in whole steps."""
    pairs = list(itertools.pairwise(values if winner == values[-1] else values[::-1]))
    factors = [after / before for before, after in pairs] if values[0] > 0 else [0.0]
    steps = {after - before for before, after in pairs}
    is_whole = all(isinstance(value, int) for value in values)
    if is_whole and len(steps) == 1:
        further = [winner + at * max(steps) for at in (1, 2)]
    elif max(factors) < 1.25 * min(factors):
        further = [winner * factors[-1] ** at for at in (1, 2)]
    else:
        return
    if min(further) > 0 and not (is_whole and any(value % 1 for value in further)):
        yield from (f"{value:.0f}" if is_whole else f"{float(f'{value:.2g}'):g}" for value in further)
