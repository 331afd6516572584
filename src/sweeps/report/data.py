"""The rows behind each chart, as plain data. Never imports torch.

Every row has `says`, what a pointer or a screen reader gets, and `link`, the place of its run in the page.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import groupby, islice
from typing import Any

from sweeps.report.content import Axis, Content, Entry, Setting, mean_of
from sweeps.results import format as text

Row = dict[str, Any]

MOST_LINES = 40  # in one panel
MOST_UNSORTED = 8  # curves where nothing says which settings are the best


def best_by_category(content: Content) -> list[Setting]:
    """Each category's best setting by its mean, or by its values so far where nothing is complete.

    Without a direction nothing is the best: the first settings, as many as a chart holds.
    """
    gain = content.gain
    if gain is None:
        return content.settings[:MOST_UNSORTED]

    def merit(one: Setting) -> tuple[bool, float]:
        so_far = one.best.row.value
        value = one.mean if one.mean is not None else so_far
        return one.mean is not None, -float("inf") if value is None else gain(value)

    return [max((one for one in content.settings if one.category == name), key=merit) for name in content.categories]


def curves(settings: Sequence[Setting], metric: str, axis: Axis | None = None) -> list[Row]:
    """Mean, least and largest value over the seeds at each step, with the number of seeds that have one."""
    rows: list[Row] = []
    for one in settings:
        points: dict[float, list[float]] = {}
        for entry in one.drawn:
            for step, value in entry.curve(metric).items():
                points.setdefault(step, []).append(value)
        shared = {"category": one.category, "label": one.label, **_place(one.best, axis), "link": f"#{one.best.key}"}
        for step, values in sorted(points.items()):
            mean, count = mean_of(values), text.plural(len(values), "run")
            says = f"{one.label}: {metric} {text.metric(mean)} at step {text.setting(step)}, {count}"
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
            shown = text.metric(row.value) if row.value is not None else row.status
            if entry.is_pruned and row.value is not None and row.steps is not None:
                shown += f", pruned at step {text.setting(row.steps)}"
            says = f"{entry.label}: {shown}"
            rows.append({**_run(entry, content), **place, "value": row.value, "pruned": entry.is_pruned, "says": says})
    return rows


def means(settings: Sequence[Setting], axis: Axis) -> list[Row]:
    """The line through the points of `against`: the mean of the best setting at each value."""
    found = [{"category": one.category, **_place(one.best, axis), "mean": one.mean} for one in settings]
    return [row for row in found if row["mean"] is not None and (row["at"] is not None or not axis.is_numeric)]


def heat(content: Content, across: Axis, down: Axis) -> list[Row]:
    """Two swept keys: in each place the mean of its best setting, and how the runs without a value ended."""
    places: dict[tuple[str, str], list[Setting]] = {}
    for one in content.settings:
        places.setdefault((across.show(one.best.row), down.show(one.best.row)), []).append(one)
    rows = []
    for (x, y), of in places.items():
        best = next((one for one in of if one.mean is not None), of[0])
        apart = Counter(entry.row.status for one in of for entry in one.entries if not entry.row.is_complete)
        others = [f"{count} {status}" for status, count in apart.items()]
        value = [] if best.mean is None else [f"{text.metric(best.mean)}, {text.plural(best.n, 'run')}"]
        where = f"{across.title}={x}, {down.title}={y}"
        shown = [status if count == 1 else f"{count} {status}" for status, count in apart.items()]
        rows.append(
            {
                "across": x,
                "across_number": across.number(best.best.row),
                "down": y,
                "down_number": down.number(best.best.row),
                "mean": best.mean,
                "n": best.n,
                "shown": "\n".join(shown) if best.mean is None else text.metric(best.mean),
                "is_best": any(one.is_best for one in of),
                "says": f"{where}: {'; '.join([*value, *others])}",
                "link": f"#{best.best.key}",
            }
        )
    return rows


def costs(content: Content, cost: str) -> list[Row]:
    """Each setting's mean objective against `seconds` or a fact; `front` marks those that no other beats in both."""
    rows: list[Row] = []
    for one in content.settings:
        values = [value for entry in one.drawn if (value := entry.cost(cost)) is not None]
        if one.mean is None or not values:
            continue
        mean = mean_of(values)
        says = f"{one.label}: {text.metric(one.mean)}, {cost} {text.metric(mean)}, {text.plural(one.n, 'run')}"
        rows.append({**_run(one.best, content), "label": one.label, "cost": mean, "value": one.mean, "says": says})
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
    number = axis.number(entry.row)
    return {"at": number, "at_text": axis.show(entry.row), "at_text_number": number}
