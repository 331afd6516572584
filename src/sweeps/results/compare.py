"""Is A better than B? One sentence with the difference, its interval and the test, and image by image."""

import math
import re
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sweeps.errors import ConfigError
from sweeps.results import format as text
from sweeps.results.inference import ALPHA, McNemar, Paired, holm, mcnemar, paired
from sweeps.results.predictions import right_answers
from sweeps.results.ranking import images
from sweeps.results.runs import RunRow
from sweeps.results.settings import Cell, cell_columns, cells_of

# Standard errors that a difference must be worth for a test at 5 % to show it in 80 % of all tries.
_DETECTABLE = 2.8
_TOO_MANY = 1_000  # seeds


@dataclass(frozen=True)
class Comparison:
    """Two cells, the answer as a sentence, what it rests on, and notes. `by_image` is McNemar's test per seed."""

    first: Cell
    second: Cell
    paired: Paired
    verdict: str  # "yes", "no", "not shown" or "not evidence"
    sentence: str
    notes: list[str] = field(default_factory=list)
    by_image: dict[int, McNemar] = field(default_factory=dict)

    def fields(self) -> dict[str, Any]:
        """The comparison for other programs."""
        found, between = self.paired, self.paired.interval
        return {
            "first": self.first.label,
            "second": self.second.label,
            "objective": self.first.criterion.metric if self.first.criterion else None,
            "split": self.first.criterion.split if self.first.criterion else None,
            "verdict": self.verdict,
            "sentence": self.sentence,
            "n": found.n,
            "difference": found.difference,
            "low": between.low if between else None,
            "high": between.high if between else None,
            "interval": between.method if between else None,
            "p": found.p,
            "test": found.test,
            "notes": self.notes,
            "mcnemar": {str(seed): fields for seed, fields in self._mcnemar_fields()},
        }

    def _mcnemar_fields(self) -> Iterator[tuple[int, dict[str, Any]]]:
        for (seed, test), p in zip(self.by_image.items(), _corrected(self.by_image), strict=True):
            counts = {"only_first": test.only_first, "only_second": test.only_second}
            yield seed, {**counts, "p_uncorrected": test.p, "p_holm": p}


def compare(rows: Sequence[RunRow], first: str, second: str) -> Comparison:
    """Whether the runs that `first` names are better than those that `second` names.

    Each names one cell by what tells it apart: `model=nin,optim.lr=0.1`, a model, a sweep, or a run's name (of which
    the seed does not count).

    Raises:
        ConfigError: a name fits no cell or several, both are one cell, or they share no seed.
    """
    a, b = _find(rows, first), _find(rows, second)
    if {row.path for row in a.rows} & {row.path for row in b.rows}:
        raise ConfigError(f"--compare: {text.clean(first)} and {text.clean(second)} are the same cell; name two")
    if a.criterion != b.criterion:
        raise ConfigError(
            f"--compare: {a.label} is ranked by {_metric(a)} and {b.label} by {_metric(b)}, which do not compare; "
            "run both with the same objective.metric"
        )
    found = _within_bounds(paired(a.by_seed, b.by_seed), a)
    if found is None:
        raise ConfigError(
            f"--compare: {_seeds(a)} and {_seeds(b)}: there is no common seed with a result, and runs of different "
            f"seeds are no pair; run both with the same ones, such as repeats=5"
        )
    verdict = _verdict(found, a)
    by_image = dict(_by_image(a, b))
    notes = [*_notes(a, b, found), *_image_notes(by_image, a)]
    return Comparison(a, b, found, verdict, _sentence(a, b, found, verdict), notes, by_image)


def _within_bounds(found: Paired | None, cell: Cell) -> Paired | None:
    """`found` with an interval that no two figures can leave: two accuracies are at most 1 apart."""
    if found is None or found.interval is None or cell.criterion is None:
        return found
    low, high = cell.criterion.bounds
    return found._replace(interval=found.interval.within(low - high, high - low))


def _find(rows: Sequence[RunRow], wanted: str) -> Cell:
    parts = [part for part in re.split(r",(?=[^,=\[\]]+=)", wanted.strip()) if part]
    if any(_full_key(part.partition("=")[0].lstrip("+~")) == "seed" for part in parts):
        raise ConfigError(
            f"--compare {text.clean(wanted)} names a seed: cells are compared over all seeds that both have, since a "
            "single pair says nothing of the next; leave seed= out"
        )
    columns = cell_columns(rows)
    cells = cells_of(rows, columns)
    found = [one for one in cells if parts and any(all(_fits(row, part) for part in parts) for row in one.rows)]
    if not found:
        known = [cell.label for cell in cells]
        some = "; ".join(known[:6]) + ("; ..." if len(known) > 6 else "")
        raise ConfigError(
            f"--compare {text.clean(wanted)} fits no run; name a cell by its settings, such as "
            f"model=nin,optim.lr=0.1. There are: {some}"
        )
    if len(found) > 1:
        differ = [column.key for at, column in enumerate(columns) if len({cell.keys[at] for cell in found}) > 1]
        if not differ:
            raise ConfigError(f"--compare {text.clean(wanted)}: its runs are ranked by different objectives")
        raise ConfigError(
            f"--compare {text.clean(wanted)} fits {len(found)} cells, which differ in {', '.join(differ)}: name one "
            f"of them, such as {text.clean(wanted)},{_full_key(differ[0])}=..."
        )
    return found[0]


def _full_key(key: str) -> str:
    return {"lr": "optim.lr", "resize": "resize.size", "batch": "trainer.batch_size"}.get(key, key)


def _fits(row: RunRow, part: str) -> bool:
    """Whether `key=value` is a setting of the run, by the value or by what was typed; a bare word is a name."""
    key, equals, value = part.partition("=")
    if not equals:
        return part in (row.name, row.model, row.sweep)
    key = _full_key(key.lstrip("+~"))
    if key == "sweep":
        return row.sweep == value
    if key not in row.settings:
        return False
    return _alike(row.settings[key], value) or part in row.name.split(",")


def _alike(setting: Any, typed: str) -> bool:
    figure = text.number(setting)
    if figure is not None:
        try:
            return math.isclose(figure, float(typed), rel_tol=1e-12)
        except ValueError:
            return False
    shown = "null" if setting is None else text.setting(setting)
    return shown.casefold() == typed.casefold()


def _metric(cell: Cell) -> str:
    return f"{cell.criterion.metric} of the {cell.criterion.epoch} epoch" if cell.criterion else "nothing"


def _seeds(cell: Cell) -> str:
    seeds = ", ".join(str(seed) for seed in sorted(cell.by_seed)) or "none"
    return (
        f"{cell.label} has results for the seeds {seeds}" if cell.n != 1 else f"{cell.label} has one for seed {seeds}"
    )


def _verdict(found: Paired, cell: Cell) -> str:
    if found.p is None:
        return "not evidence"
    if found.p >= ALPHA:
        return "not shown"
    gain = cell.criterion.gain(found.difference) if cell.criterion else found.difference
    return "yes" if gain > 0 else "no"


def _sentence(a: Cell, b: Cell, found: Paired, verdict: str) -> str:
    metric = a.criterion.metric if a.criterion else "objective"
    seeds = sorted(a.by_seed.keys() & b.by_seed.keys())
    means = [statistics.fmean(cell.by_seed[seed] for seed in seeds) for cell in (a, b)]
    figures = f"{metric} {text.fraction(means[0])} against {text.fraction(means[1])}"
    if found.p is None:
        return (
            f"Not evidence: {a.label} and {b.label} share one seed ({figures}); a single pair says nothing of the "
            "next: run both with repeats=5."
        )
    between = found.interval
    reach = f"[{between.low:+.4f}, {between.high:+.4f}] (95 %, {between.method})" if between else "without any spread"
    rests_on = f"{found.difference:+.4f} {reach} over {found.n} matched seeds, {found.test}, {text.p_value(found.p)}"
    if verdict == "yes":
        return f"Yes: {a.label} is better than {b.label}: {figures}, {rests_on}."
    if verdict == "no":
        return f"No: {b.label} is better than {a.label}: {figures}, {rests_on}."
    return f"Not shown: {a.label} and {b.label} may be equally good: {figures}, {rests_on}."


def _notes(a: Cell, b: Cell, found: Paired) -> Iterator[str]:
    if a.criterion is not None:
        yield f"{a.criterion.metric} of the {a.criterion.epoch} epoch is measured on {images(a.criterion.split)}."
    for cell in (a, b):
        apart = [f"{count} {status}" for status, count in cell.apart.items()]
        if cell.collapsed or apart:
            collapsed = f"{cell.collapsed} of {text.plural(len(cell.rows), 'run')} collapsed" if cell.collapsed else ""
            without = f"without a full figure: {', '.join(apart)}" if apart else ""
            yield f"{cell.label}: {'; '.join(part for part in (collapsed, without) if part)}."
    if found.p is not None and found.p >= ALPHA and found.std and found.difference:
        needed = math.ceil((_DETECTABLE * found.std / found.difference) ** 2)
        if needed > _TOO_MANY:
            yield f"More than {_TOO_MANY:,} seeds would be needed to show a difference this small."
        elif needed > found.n:
            yield f"About {needed:,} seeds would show a difference of this size."


def _by_image(a: Cell, b: Cell) -> Iterator[tuple[int, McNemar]]:
    split = a.criterion.prefix if a.criterion else "test"
    runs = [{row.seed or 0: row.path for row in cell.rows if row.has_full_figure} for cell in (a, b)]
    for seed in sorted(a.by_seed.keys() & b.by_seed.keys()):
        kept = [right_answers(paths[seed], split) for paths in runs]
        if kept[0] is None or kept[1] is None:
            continue
        (first, first_labels), (second, second_labels) = kept[0], kept[1]
        if first_labels.shape == second_labels.shape and bool((first_labels == second_labels).all()):
            yield seed, mcnemar(first, second)


def _corrected(by_image: dict[int, McNemar]) -> list[float]:
    return holm([test.p for test in by_image.values()])


def _image_notes(by_image: dict[int, McNemar], cell: Cell) -> Iterator[str]:
    if not by_image:
        return
    where = f", image by image of {images(cell.criterion.split)}" if cell.criterion else ""
    for (seed, test), p in zip(by_image.items(), _corrected(by_image), strict=True):
        yield (
            f"Seed {seed}{where}: {test.only_first} only the first has right, {test.only_second} only the "
            f"second (McNemar's exact test, {text.p_value(p)}{', Holm' if len(by_image) > 1 else ''})."
        )
    yield "McNemar's test speaks of these two trained networks alone; whether a setting is better, only seeds can tell."
