"""What a sweep's results suggest to do next: a sentence each, with the override to type."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sweeps.record.records import Status
from sweeps.results import format as text
from sweeps.results.columns import Column, swept_columns
from sweeps.results.inference import ALPHA, p_of_leads
from sweeps.results.ranking import objectives
from sweeps.results.runs import RunRow
from sweeps.results.settings import BEST, MAY_BE, Setting, has_repeats

DISAGREE = 0.1  # standard deviation over seeds, as a share of the mean
_FEWEST = 3  # values of a grid that has an inside


def advice(rows: Sequence[RunRow], settings: Sequence[Setting]) -> list[str]:
    """The sentences, the most consequential first; none where there is nothing to say.

    `settings` are judged, and of the columns of `swept_columns`.
    """
    found = objectives(rows)
    if not found or not found[0].is_ranked:
        return []
    grids = list(_grids([one for one in settings if one.objective == found[0]], swept_columns(rows)))
    drawn = any((folder / "study.journal").exists() for folder in {row.path.parent for row in rows})
    return [
        *_single_runs(settings),
        *_disagreeing(settings),
        *(sentence for grid in grids for sentence in _values_that_diverge(grid)),
        *([] if drawn else _values_at_the_edge(grids, has_repeats(settings))),
    ]  # values that a search has drawn are no grid with an edge


@dataclass(frozen=True)
class _Grid:
    """Settings that differ in nothing but one number, by its value.

    `choice` is what they share that is no number (a model, say), `label` what tells them from the other grids.
    """

    column: Column
    choice: tuple[str, ...]
    label: str
    by_value: dict[float, Setting]

    def sentence(self, text: str) -> str:
        """`text`, with what it is about before it."""
        return f"{self.label}: {text}" if self.label else text[0].upper() + text[1:]


def _grids(settings: Sequence[Setting], columns: Sequence[Column]) -> Iterator[_Grid]:
    for place, column in enumerate(columns):
        others = [*columns[:place], *columns[place + 1 :]]
        found: dict[tuple[str, ...], dict[float, Setting]] = {}
        for one in settings:
            value = text.number(one.values[column.key])
            if value is not None:
                found.setdefault((*one.shown[:place], *one.shown[place + 1 :]), {}).setdefault(value, one)
        telling = [at for at in range(len(others)) if len({keys[at] for keys in found}) > 1]
        for keys, by_value in found.items():
            choice = tuple(cell for cell, other in zip(keys, others, strict=True) if not other.right)
            label = ", ".join(f"{others[at].header}={keys[at]}" for at in telling)
            yield _Grid(column, choice, label, by_value)


def _single_runs(settings: Sequence[Setting]) -> Iterator[str]:
    if sum(one.n > 0 for one in settings) > 1 and not has_repeats(settings):
        yield (
            "Every setting has a single run (n = 1), which is not evidence: the next seed may give another order. "
            "Repeat the best ones with sweep.repeats=5."
        )


def _disagreeing(settings: Sequence[Setting]) -> Iterator[str]:
    rivals = {one.objective for one in settings if one.standing == MAY_BE}
    for one in settings:
        if one.std is None or one.mean is None or one.standing not in (BEST, MAY_BE) or one.objective not in rivals:
            continue  # its rank is settled, or does not matter
        if one.std > DISAGREE * abs(one.mean):
            low, high = min(one.figures), max(one.figures)
            yield (
                f"{one.label}: its seeds disagree ({text.figure(low)} to {text.figure(high)}): its rank is not settled "
                "before there are more of them."
            )


def _values_that_diverge(grid: _Grid) -> Iterator[str]:
    diverged = {value for value, one in grid.by_value.items() if all(row.status == Status.DIVERGED for row in one.runs)}
    sound = grid.by_value.keys() - diverged
    if sound and (beyond := sorted(value for value in diverged if value > max(sound))):
        start = f"{grid.column.key}={text.setting(beyond[0])}"
        yield grid.sentence(f"every run from {start} on diverged: leave those values out.")


def _values_at_the_edge(grids: Sequence[_Grid], repeated: bool) -> Iterator[str]:
    """For each numeric setting and choice of the others, its best grid alone.

    A setting that lost seeds is never the best; where anything was repeated single runs do not compete, as in the table
    of settings, and a value is the best only where all others are shown to be worse.
    """
    best: dict[tuple[str, tuple[str, ...]], tuple[float, float, _Grid]] = {}
    for grid in grids:
        gains = {
            value: one.gain
            for value, one in grid.by_value.items()
            if one.is_sound or (one.n and not one.lost and not repeated)
        }
        if len(grid.by_value) >= _FEWEST and gains:
            winner, place = max(gains, key=lambda value: gains[value]), (grid.column.key, grid.choice)
            if place not in best or gains[winner] > best[place][0]:
                best[place] = gains[winner], winner, grid
    for _, winner, grid in best.values():
        if winner in (min(grid.by_value), max(grid.by_value)) and _stands_out(grid, winner):
            edge = grid.sentence(f"the best {grid.column.header} is at the edge of its grid")
            further = ",".join(_beyond(sorted(grid.by_value), winner))
            yield f"{edge}; extend it: {grid.column.key}={further}." if further else f"{edge}; try values beyond it."


def _stands_out(grid: _Grid, winner: float) -> bool:
    """Whether every other value is shown to be worse; of single runs, whether none has the same objective."""
    best = grid.by_value[winner]
    others = [one for value, one in grid.by_value.items() if value != winner and one.n]
    if best.n == 1:
        return all(one.gain < best.gain for one in others)
    if any(one.standing == MAY_BE for one in others):
        return False
    found = p_of_leads(best.gains, [one.gains for one in others])
    return all(p is not None and p * max(len(found), 2) < ALPHA for p in found)


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
