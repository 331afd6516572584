"""Which charts a report holds: their rows, and captions that say what each shows and leaves out. Never imports torch.

Every row has `says`, what a pointer or a screen reader gets, and `link`, the place of its run in the page.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from typing import Any

from sweeps.report import charts
from sweeps.report.content import Content, Entry
from sweeps.report.panels import Figure
from sweeps.results import format as text
from sweeps.results.columns import Column
from sweeps.results.matrix import matrix_of
from sweeps.results.ranking import split_name
from sweeps.results.settings import Setting, mean_of

MOST_LINES = 40  # in one panel
MOST_UNRANKED = 8  # curves where nothing says which settings are the best
MOST_AXES = 6  # swept keys with a chart of their own
MOST_METRICS = 3  # with curves: the objective, and others in the order in which they are reported
MOST_COSTS = 5
FEW_VALUES = 5  # as many columns of a heat map fit beside another chart

Row = dict[str, Any]


def figures_of(content: Content) -> Iterator[Figure]:
    """Every chart that these runs have values for."""
    if content.objective is not None:
        yield from _curves(content)
        yield from _curves_by_value(content)
        for axis in content.axes[:MOST_AXES]:
            yield from _against(content, axis)
        yield from _heat(content)
        yield from islice(_costs(content), MOST_COSTS)
        yield from _times(content)


def _curves(content: Content) -> Iterator[Figure]:
    first: dict[str, Setting] = {}
    for one in content.settings:  # the best first
        first.setdefault(content.category(one.runs[0]), one)
    best = content.settings[:MOST_UNRANKED] if content.gain is None else list(first.values())
    which = _which(content) if content.gain else f"The first {text.plural(len(best), 'setting')}"
    says = f"{which}: the mean over the seeds, and a band from the least to the largest.{_of_pruned(content, best)}"
    for key in content.metrics[:MOST_METRICS]:
        rows = _curve_rows(content, best, key)
        if _distinct(rows, "step") > 1:
            yield Figure(f"curves_{key}", f"{key} by step", says, rows, charts.curves(rows, key, content.looks))


def _curves_by_value(content: Content) -> Iterator[Figure]:
    axis = next((one for one in content.axes if one is not content.colour), None)
    if axis is None or content.objective is None:
        return
    metric = content.objective.metric
    settings = _best_by_value(content, axis)
    groups = groupby(settings, key=lambda one: content.category(one.runs[0]))
    drawn = [one for _, of in groups for one in islice(of, MOST_LINES)]
    rows = _curve_rows(content, drawn, metric, axis)
    if _distinct(rows, "step") > 1 and _distinct(rows, "at_text") > 1:
        says = f"{_which(content)} at each {axis.header}; bands as above.{_of_pruned(content, drawn)}"
        if len(drawn) < len(settings):
            says += (
                f" The first {MOST_LINES} are drawn; left out here, but not in the chart of {axis.header}: "
                f"{text.plural(len(settings) - len(drawn), 'curve')} of {len(settings)}."
            )
        chart, is_wide = charts.facets(rows, metric, axis), _distinct(rows, "category") > 1
        yield Figure(f"curves_by_{axis.key}", f"{metric} by {axis.header}", says, rows, chart, is_wide)


def _curve_rows(content: Content, settings: Sequence[Setting], metric: str, axis: Column | None = None) -> list[Row]:
    """Mean, least and largest value over the seeds at each step, with the number of seeds that have one."""
    rows: list[Row] = []
    for one in settings:
        entries = content.drawn(one)
        points: dict[float, list[float]] = {}
        for entry in entries:
            for step, value in entry.curve(metric).items():
                points.setdefault(step, []).append(value)
        shared = {**_place(entries[0], content, axis), "label": one.label}
        for step, values in sorted(points.items()):
            mean = mean_of(values)
            says = f"{one.label}: {metric} {text.figure(mean)} at step {text.steps(step)}, "
            spread = {"mean": mean, "low": min(values), "high": max(values), "n": len(values)}
            rows.append({**shared, "step": step, **spread, "says": says + text.plural(len(values), "run")})
    return rows


def _best_by_value(content: Content, axis: Column) -> list[Setting]:
    """Each category's best setting at each of its values of `axis`, the best first."""
    found: dict[tuple[str, str], Setting] = {}
    for one in content.settings:
        found.setdefault((content.category(one.runs[0]), axis.show(one.runs[0])), one)
    order = list(dict.fromkeys(category for category, _ in found))
    return [found[place] for place in sorted(found, key=lambda place: order.index(place[0]))]


def _against(content: Content, axis: Column) -> Iterator[Figure]:
    """Every finished run: its objective, or a cross where it diverged."""
    rows = []
    for entry in content.compared:
        row, place = entry.row, _place(entry, content, axis)
        if row.is_finished and (place["at"] is not None or not axis.right):
            says = f"{entry.label}: {text.figure(row.value) if row.value is not None else row.status}"
            if entry.is_pruned and row.value is not None and row.steps is not None:
                says += f", pruned at step {text.steps(row.steps)}"
            rows.append({**_run(entry, content), **place, "value": row.value, "pruned": entry.is_pruned, "says": says})
    if _distinct(rows, "at_text") < 2:
        return
    of = _best_by_value(content, axis) if axis.right and content.gain else []
    if len(of) == len(content.settings) and len(content.axes) > 1:  # drawn by a search: all else differs as well
        of = []
    means = [{**_place(content.drawn(one)[0], content, axis), "mean": one.mean} for one in of if one.mean is not None]
    says = f"Every point is a run{', lines join the means of the best setting at each value' if means else ''}"
    says += "; a cross at the bottom is a run that diverged." if any(row["value"] is None for row in rows) else "."
    if pruned := sum(row["pruned"] for row in rows):
        says += f" Hollow points: {_stopped(pruned)}; the lines leave them out."
    chart = charts.against(rows, [row for row in means if row["at"] is not None], axis, content.metric, content.looks)
    yield Figure(f"by_{axis.key}", f"{content.metric} against {axis.header}", says, rows, chart)


def _heat(content: Content) -> Iterator[Figure]:
    """Two swept keys: in each place the mean of its best setting, and how the runs without a value ended."""
    matrix = matrix_of(content.rows)
    if matrix is None:
        return
    rows = []
    for (down, across), apart in matrix.others.items():
        best = matrix.places.get((down, across))
        ends = [f"{count} {status}" for status, count in apart.items()]
        value = [f"{text.figure(best.mean)}, {text.plural(best.n, 'run')}"] if best else []
        row = {"across": across, "down": down, "is_best": (down, across) in matrix.best}
        row["says"] = f"{matrix.down.header}={down}, {matrix.across.header}={across}: {'; '.join(value + ends)}"
        if best:
            shown, link = text.figure(best.mean), f"#{content.drawn(best)[0].key}"
            rows.append({**row, "mean": best.mean, "n": best.n, "shown": shown, "link": link})
        elif ends:
            shown = "\n".join(one.removeprefix("1 ") for one in ends)
            rows.append({**row, "mean": None, "n": 0, "shown": shown, "link": "#table"})
    size = _distinct(rows, "across") * _distinct(rows, "down")
    if 1 < size <= 2 * len(rows):  # values that a search has drawn are no grid
        where = f", measured on {split_name(matrix.objective.split)}" if matrix.objective.split else ""
        says = f"Mean {content.metric} of the best setting in each place{where}."
        chart, is_wide = charts.heat(rows, content.metric, matrix), _distinct(rows, "across") > FEW_VALUES
        yield Figure("heat_map", f"{matrix.down.header} by {matrix.across.header}", says, rows, chart, is_wide)


def _costs(content: Content) -> Iterator[Figure]:
    """Each setting's mean objective against `seconds` or a fact.

    `front` marks those that no other beats in both; one that lost seeds is neither marked nor beats another.
    """
    gain, pruned = content.gain, sum(entry.is_pruned for entry in content.compared)
    for cost in content.costs:
        rows: list[Row] = []
        for one in content.settings:
            entries = content.drawn(one)
            values = [value for entry in entries if (value := entry.cost(cost)) is not None]
            if one.mean is not None and values:
                mean = mean_of(values)
                says = f"{one.label}: {text.figure(one.mean)}, {cost} {text.fact(mean)}, {text.plural(one.n, 'run')}"
                shared = {**_run(entries[0], content), "label": one.label}
                rows.append(
                    {**shared, "cost": mean, "value": one.mean, "front": bool(gain) and not one.lost, "says": says}
                )
        if _distinct(rows, "cost") < 2:  # at one and the same cost there is nothing to weigh
            continue
        if gain:
            best = -float("inf")
            for row in sorted(rows, key=lambda row: (row["cost"], -gain(row["value"]))):
                row["front"] = row["front"] and gain(row["value"]) > best
                best = gain(row["value"]) if row["front"] else best
        line = "; a line joins those that no other beats in both" if gain else ""
        says = f"Mean {content.metric} of every setting against {cost}{line}.{_left_out(pruned)}"
        chart = charts.cost(rows, content.metric, cost, content.looks)
        yield Figure(f"cost_{cost}", f"{content.metric} and {cost}", says, rows, chart)


def _times(content: Content) -> Iterator[Figure]:
    rows = []
    for entry in content.compared:
        if seconds := entry.row.seconds:
            says = f"{entry.label}: {text.duration(seconds)} s, {entry.row.status}"
            rows.append({**_run(entry, content), "seconds": seconds, "status": entry.row.status, "says": says})
    if rows:
        pruned = sum(entry.is_pruned for entry in content.compared)
        says = "Seconds in the training function; every tick is a run. Several runs may have shared the machine."
        says += f" Among them: {_stopped(pruned)}." if pruned else ""
        yield Figure("time", "Time per run", says, rows, charts.times(rows, content.looks))


def _run(entry: Entry, content: Content) -> Row:
    seed = text.setting(entry.row.seed)  # of any size, which the numbers of a chart are not
    return {"run": entry.row.name, "seed": seed, **_place(entry, content)}


def _place(entry: Entry, content: Content, axis: Column | None = None) -> Row:
    """The category of a run, its place in the page, and its place on an axis: as a number, and as a text."""
    found = {"category": content.category(entry.row), "link": f"#{entry.key}"}
    if axis is None:
        return found
    return {**found, "at": text.number(axis.get(entry.row)), "at_text": axis.show(entry.row)}


def _distinct(rows: Sequence[Row], key: str) -> int:
    return len({row[key] for row in rows})


def _which(content: Content) -> str:
    best = "best" if content.gain else "first"
    return f"The {best} setting{f' of each {content.colour.header}' if content.colour else ''}"


def _stopped(count: int) -> str:
    return f"{text.plural(count, 'run')} that {'was' if count == 1 else 'were'} stopped early"


def _of_pruned(content: Content, settings: Sequence[Setting]) -> str:
    """What a caption of curves says of pruned runs."""
    drawn = [content.drawn(one) for one in settings]
    ends = " Curves that end early, or are a single point, are of runs that a pruner stopped."
    left_out = sum(len(one.runs) for one in settings) - sum(map(len, drawn))
    return f"{ends if any(entries[0].is_pruned for entries in drawn) else ''}{_left_out(left_out)}"


def _left_out(count: int) -> str:
    return f" Left out: {_stopped(count)}." if count else ""
