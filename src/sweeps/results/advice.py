"""What a sweep's results suggest to do next: a sentence each, with the override to type."""

import itertools
import statistics
from collections.abc import Iterator, Sequence

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
    columns = swept_columns(rows)
    return [
        *_single_runs(settings),
        *_diverged(settings),
        *_disagreeing(settings),
        *(sentence for column in columns for sentence in _values_that_diverge(rows, found[0], column, columns)),
        *_values_at_the_edge(rows, found[0], settings, columns),
    ]


def _single_runs(settings: Sequence[Setting]) -> Iterator[str]:
    if sum(one.n > 0 for one in settings) > 1 and not has_repeats(settings):
        yield (
            "Every setting has a single run (n = 1), which is not evidence: the next seed may give another order. "
            "Repeat the best ones with sweep.repeats=5."
        )


def _diverged(settings: Sequence[Setting]) -> Iterator[str]:
    for one in settings:
        if one.lost and one.n:
            yield f"{one.label}: diverged in {one.lost} of {len(one.runs)} seeds; its mean is over the others alone"


def _disagreeing(settings: Sequence[Setting]) -> Iterator[str]:
    for one in settings:
        if one.std is None or one.mean is None or one.standing not in (BEST, TIED):
            continue  # its rank matters to nobody, or is settled
        if one.std > DISAGREE * abs(one.mean):
            low, high = min(one.figures), max(one.figures)
            yield (
                f"{one.label}: its seeds disagree ({text.figure(low)} to {text.figure(high)}): its rank is not settled "
                "before there are more of them"
            )


def _by_value(
    rows: Sequence[RunRow], objective: Objective, column: Column, columns: Sequence[Column]
) -> dict[tuple[str, ...], _ByValue]:
    """The runs that differ in nothing but a numeric setting and the seed, by what they share, then by its value."""
    found: dict[tuple[str, ...], _ByValue] = {}
    for row in rows:
        value = text.number(column.get(row))
        if row.objective == objective and value is not None and row.is_finished:
            keys = tuple(other.show(row) for other in columns if other is not column)
            found.setdefault(keys, {}).setdefault(value, []).append(row)
    return found


def _prefix(keys: tuple[str, ...], column: Column, columns: Sequence[Column], telling: set[int]) -> str:
    others = [other for other in columns if other is not column]
    shown = [f"{others[at].header}={cell}" for at, cell in enumerate(keys) if at in telling]
    return f"{', '.join(shown)}: " if shown else ""


def _telling(found: dict[tuple[str, ...], _ByValue]) -> set[int]:
    return {at for keys in found for at in range(len(keys)) if len({other[at] for other in found}) > 1}


def _values_that_diverge(
    rows: Sequence[RunRow], objective: Objective, column: Column, columns: Sequence[Column]
) -> Iterator[str]:
    found = _by_value(rows, objective, column, columns)
    for keys, by_value in found.items():
        sound = [value for value, of in by_value.items() if any(row.status != Status.DIVERGED for row in of)]
        lost = sorted(value for value in by_value if not sound or value > max(sound))
        if sound and lost:
            label = _prefix(keys, column, columns, _telling(found))
            yield f"{label}every run from {column.key}={text.setting(lost[0])} on diverged: leave those values out"


def _values_at_the_edge(
    rows: Sequence[RunRow], objective: Objective, settings: Sequence[Setting], columns: Sequence[Column]
) -> Iterator[str]:
    """For each combination of what is no number (a model, say) and each numeric setting, its best grid alone.

    Where anything was repeated single runs do not compete, as in the table of settings, and a value is the best only
    where all others are shown to be worse.
    """
    if any((folder / "study.journal").exists() for folder in {row.path.parent for row in rows}):
        return  # values that a search has drawn are no grid with an edge
    least = 2 if has_repeats(settings) else 1
    for column in columns:
        found = _by_value(rows, objective, column, columns)
        texts = [at for at, other in enumerate(one for one in columns if one is not column) if not other.right]
        best: dict[tuple[str, ...], tuple[float, tuple[str, ...], _ByValue]] = {}
        for keys, by_value in found.items():
            means = _means(by_value, least)
            if len(by_value) >= _FEWEST and means:
                choice, top = tuple(keys[at] for at in texts), max(map(objective.gain, means.values()))
                if choice not in best or top > best[choice][0]:
                    best[choice] = top, keys, by_value
        for _, keys, by_value in best.values():
            means = _means(by_value, least)
            winner = max(means, key=lambda value: objective.gain(means[value]))
            if winner in (min(by_value), max(by_value)) and _stands_out(by_value, winner, least):
                label = _prefix(keys, column, columns, _telling(found))
                yield f"{label}the best {column.header} is at the edge of its grid; {_beyond(column, by_value, winner)}"


def _means(by_value: _ByValue, least: int) -> dict[float, float]:
    """The mean of each value with `least` completed runs or more."""
    figures = {value: _by_seed(of) for value, of in by_value.items()}
    return {value: statistics.fmean(of.values()) for value, of in figures.items() if len(of) >= least}


def _by_seed(rows: Sequence[RunRow]) -> dict[object, float]:
    return {row.seed: row.value for row in rows if row.counts and row.value is not None}


def _stands_out(by_value: _ByValue, winner: float, least: int) -> bool:
    """Whether every other value is shown to be worse; of single runs, whether none has the same objective."""
    best, *others = [_by_seed(by_value[value]) for value in sorted(by_value, key=lambda value: value != winner)]
    others = [other for other in others if other]
    if least == 1:
        return all(statistics.fmean(best.values()) != statistics.fmean(other.values()) for other in others)
    return all(p < ALPHA for p in holm([pairwise([best, other]).get((0, 1), 1.0) for other in others]))


def _beyond(column: Column, by_value: _ByValue, winner: float) -> str:
    """`extend: optim.lr=0.2,0.4`: two steps past the edge where the grid has even steps or factors."""
    values = sorted(by_value, reverse=winner == min(by_value))
    pairs = list(itertools.pairwise(values))
    gaps = [after - before for before, after in pairs]
    factors = [after / before for before, after in pairs] if min(values) > 0 else []
    if factors and max(factors) < 1.25 * min(factors):
        further = [winner * factors[-1] ** step for step in (1, 2)]
    elif max(map(abs, gaps)) < 1.01 * min(map(abs, gaps)):
        further = [winner + gaps[-1] * step for step in (1, 2)]
    else:
        further = []
    is_whole = all(isinstance(value, int) for value in values)
    makes_sense = (
        (min(values) < 0 or min(further) > 0) and not (is_whole and any(v % 1 for v in further)) if further else False
    )
    if not makes_sense:
        return f"try values beyond {column.key}={text.setting(winner)}"
    return f"extend: {column.key}={','.join(f'{value:.0f}' if is_whole else f'{value:.2g}' for value in further)}"
