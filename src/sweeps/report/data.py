"""The rows behind each chart, as plain data. Never imports torch.

Every row has `says`, what a pointer or a screen reader gets, and `link`, the place of its run in the page.
"""

import statistics
from collections.abc import Sequence
from itertools import groupby, islice
from typing import Any

from sweeps.report.content import Axis, Content, Entry, Setting
from sweeps.results import format as text
from sweeps.results.settings import Matrix

Row = dict[str, Any]

MOST_LINES = 40  # in one panel
MOST_UNSORTED = 8  # curves where nothing says which settings are the best


def best_by_category(content: Content) -> list[Setting]:
    """Each category's best setting; without a direction nothing is the best, and the first ones are drawn."""
    if content.gain is None:
        return content.settings[:MOST_UNSORTED]
    first: dict[str, Setting] = {}
    for one in content.settings:
        first.setdefault(one.category, one)
    return list(first.values())


def curves(settings: Sequence[Setting], metric: str, axis: Axis | None = None) -> list[Row]:
    """Mean, least and largest value over the seeds at each step, with the number of seeds that have one."""
    rows: list[Row] = []
    for one in settings:
        points: dict[float, list[float]] = {}
        for entry in one.drawn:
            for step, value in entry.curve(metric).items():
                points.setdefault(step, []).append(value)
        shared = {"category": one.category, "label": one.of.label, **_place(one.best, axis), "link": f"#{one.best.key}"}
        for step, values in sorted(points.items()):
            mean, count = mean_of(values), text.plural(len(values), "run")
            says = f"{one.of.label}: {metric} {text.figure(mean)} at step {text.steps(step)}, {count}"
            spread = {"mean": mean, "low": min(values), "high": max(values), "n": len(values)}
            rows.append({**shared, "step": step, **spread, "says": says})
    return rows


def best_by_value(content: Content, axis: Axis) -> list[Setting]:
    """Each category's best setting at each of its values of `axis`, the best first."""
    found: dict[tuple[str, str], Setting] = {}
    for one in content.settings:  # the best first
        found.setdefault((one.category, axis.show(one.best.row)), one)
    return [one for name in content.categories for (category, _), one in found.items() if category == name]


def most_lines(settings: Sequence[Setting]) -> list[Setting]:
    """Of each category's settings in `best_by_value` the best, as many as a panel holds."""
    return [one for _, of in groupby(settings, key=lambda one: one.category) for one in islice(of, MOST_LINES)]


def stopped_early(content: Content) -> int:
    """How many of the compared runs a pruner has stopped."""
    return sum(entry.is_pruned for entry in content.compared)


def against(content: Content, axis: Axis) -> list[Row]:
    """Every finished run that has a value on `axis`: its objective, or None where it diverged."""
    rows = []
    for entry in content.compared:
        row = entry.row
        place = _place(entry, axis)
        if row.is_finished and (place["at"] is not None or not axis.is_numeric):
            shown = text.figure(row.value) if row.value is not None else row.status
            if entry.is_pruned and row.value is not None and row.steps is not None:
                shown += f", pruned at step {text.steps(row.steps)}"
            says = f"{entry.label}: {shown}"
            rows.append({**_run(entry, content), **place, "value": row.value, "pruned": entry.is_pruned, "says": says})
    return rows


def means(settings: Sequence[Setting], axis: Axis) -> list[Row]:
    """The line through the points of `against`: the mean of the best setting at each value."""
    found = [{"category": one.category, **_place(one.best, axis), "mean": one.of.mean} for one in settings]
    return [row for row in found if row["mean"] is not None and (row["at"] is not None or not axis.is_numeric)]


def heat(content: Content, matrix: Matrix) -> list[Row]:
    """Two swept keys: in each place the mean of its best setting, and how the runs without a value ended."""
    keys = {entry.row.path: entry.key for entry in content.entries}
    rows = []
    for place, apart in matrix.others.items():
        best = matrix.places.get(place)
        if best is None and not apart:
            continue
        down, across = place
        others = [f"{count} {status}" for status, count in apart.items()]
        value = [] if best is None else [f"{text.figure(best.mean)}, {text.plural(best.n, 'run')}"]
        shown = [status if count == 1 else f"{count} {status}" for status, count in apart.items()]
        rows.append(
            {
                "across": across,
                "down": down,
                "mean": best.mean if best else None,
                "n": best.n if best else 0,
                "shown": text.figure(best.mean) if best else "\n".join(shown),
                "is_best": place in matrix.best,
                "says": f"{matrix.down.header}={down}, {matrix.across.header}={across}: {'; '.join([*value, *others])}",
                "link": f"#{keys[best.runs[0].path]}" if best else "#table",
            }
        )
    return rows


def costs(content: Content, cost: str) -> list[Row]:
    """Each setting's mean objective against `seconds` or a fact; `front` marks those that no other beats in both."""
    rows: list[Row] = []
    for one in content.settings:
        values = [value for entry in one.drawn if (value := entry.cost(cost)) is not None]
        value = one.of.mean
        if value is None or not values:
            continue
        mean = mean_of(values)
        says = f"{one.of.label}: {text.figure(value)}, {cost} {text.fact(mean)}, {text.plural(one.of.n, 'run')}"
        rows.append({**_run(one.best, content), "label": one.of.label, "cost": mean, "value": value, "says": says})
    gain = content.gain
    best: float | None = None
    for row in sorted(rows, key=lambda row: (row["cost"], -gain(row["value"]) if gain else 0.0)):
        row["front"] = gain is not None and (best is None or gain(row["value"]) > best)
        best = gain(row["value"]) if gain and row["front"] else best
    return rows


def times(content: Content) -> list[Row]:
    """Seconds of every run that has spent any."""
    rows = []
    for entry in content.compared:
        if entry.row.seconds:
            says = f"{entry.label}: {text.duration(entry.row.seconds)} s, {entry.row.status}"
            shared = {**_run(entry, content), "seconds": entry.row.seconds, "status": entry.row.status}
            rows.append({**shared, "says": says})
    return rows


def _run(entry: Entry, content: Content) -> Row:
    row = entry.row
    return {"run": row.name, "category": content.category(row), "seed": row.seed, "link": f"#{entry.key}"}


def _place(entry: Entry, axis: Axis | None) -> Row:
    """Where a run lies on an axis: as a number, and as a text."""
    if axis is None:
        return {}
    return {"at": axis.number(entry.row), "at_text": axis.show(entry.row)}


def mean_of(values: Sequence[float]) -> float:
    """The mean, never outside of what it is of: an axis would be drawn for the rounding of equal values."""
    return min(max(statistics.fmean(values), min(values)), max(values))
