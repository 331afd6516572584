"""Which charts a report holds, and the captions: what each shows, and what it leaves out. Never imports torch."""

from collections.abc import Iterator, Sequence

from sweeps.report import charts, data
from sweeps.report.content import Axis, Content, Setting
from sweeps.report.panels import Figure
from sweeps.results import format as text
from sweeps.results.settings import matrix_of

FEW_VALUES = 5  # as many columns of a heat map stand beside another chart
MOST_AXES = 6  # swept keys with a chart of their own
MOST_METRICS = 3  # with curves: the objective, and others in the order in which they are reported
MOST_COSTS = 5


def figures_of(content: Content) -> Iterator[Figure]:
    """Every chart that these runs have values for."""
    if content.objective is None:
        return
    yield from _curves(content)
    for axis in content.axes[:MOST_AXES]:
        yield from _against(content, axis)
    yield from _heat(content)
    yield from _costs(content)
    rows = data.times(content)
    if rows:
        says = "Seconds in the training function; every tick is a run. Several runs may have shared the machine."
        pruned = data.stopped_early(content)
        says += f" Among them: {_stopped(pruned)}." if pruned else ""
        yield Figure("time", "Time per run", says, rows, charts.times(rows, content.looks))


def _curves(content: Content) -> Iterator[Figure]:
    best = data.best_by_category(content)
    which = "Each setting" if content.gain is None else "The best setting"
    if content.colour and content.gain:
        which += f" of each {content.colour.title}"
    for key in content.metrics[:MOST_METRICS]:
        rows = data.curves(best, key)
        if len({row["step"] for row in rows}) > 1:
            says = f"{which}: the mean over its seeds, and a band from the least to the largest.{_of_pruned(best)}"
            left_out = len(content.settings) - len(best)
            says += f" The first {len(best)} settings are drawn." if content.gain is None and left_out else ""
            yield Figure(f"curves_{key}", f"{key} by step", says, rows, charts.curves(rows, key, content.looks))
    axis = next((one for one in content.axes if one is not content.colour), None)
    metric = content.objective.metric if content.objective else ""
    if axis is None or not metric:
        return
    settings = data.best_by_value(content, axis)
    drawn = data.most_lines(settings)
    rows = data.curves(drawn, metric, axis)
    if len({row["at_text"] for row in rows}) > 1 and len({row["step"] for row in rows}) > 1:
        whose = f" of each {content.colour.title}" if content.colour else ""
        says = f"The best setting{whose} at each {axis.title}; bands as above.{_of_pruned(drawn)}"
        if len(drawn) < len(settings):
            says += (
                f" The {data.MOST_LINES} best are drawn; left out here, but not in the chart of {axis.title}: "
                f"{text.plural(len(settings) - len(drawn), 'curve')} of {len(settings)}."
            )
        wide = len({row["category"] for row in rows}) > 1
        chart = charts.facets(rows, metric, axis, content.categories)
        yield Figure(f"curves_by_{axis.key}", f"{metric} by {axis.title}", says, rows, chart, wide)


def _against(content: Content, axis: Axis) -> Iterator[Figure]:
    rows = data.against(content, axis)
    if len({row["at_text"] for row in rows}) < 2:
        return
    name = content.name
    says = "Every point is a run"
    lines = data.means(data.best_by_value(content, axis), axis) if axis.is_numeric and content.gain else []
    says += ", lines join the means of the best setting at each value" if lines else ""
    says += "; a cross at the bottom is a run that diverged." if any(row["value"] is None for row in rows) else "."
    if any(row["pruned"] for row in rows):
        says += f" Hollow points: {_stopped(sum(row['pruned'] for row in rows))}; the lines leave them out."
    chart = charts.against(rows, lines, axis, name, content.looks)
    yield Figure(f"by_{axis.key}", f"{name} against {axis.title}", says, rows, chart)


def _heat(content: Content) -> Iterator[Figure]:
    matrix = matrix_of(content.rows)
    rows = data.heat(content, matrix) if matrix else []
    if matrix and len(rows) > 1:
        says = f"Mean {content.name} of the best setting in each place{content.measured_on}."
        is_wide = len({row["across"] for row in rows}) > FEW_VALUES
        chart = charts.heat(rows, content.name, matrix)
        yield Figure("heat_map", f"{matrix.down.header} by {matrix.across.header}", says, rows, chart, is_wide)


def _costs(content: Content) -> Iterator[Figure]:
    drawn = 0
    for cost in content.costs:
        rows = data.costs(content, cost)
        if len({row["cost"] for row in rows}) > 1 and drawn < MOST_COSTS:  # at one and the same cost nothing is weighed
            drawn += 1
            front = "; a line joins those that no other beats in both" if content.gain else ""
            says = (
                f"Mean {content.name} of every setting against {cost}{front}.{_left_out(data.stopped_early(content))}"
            )
            chart = charts.cost(rows, content.name, cost, content.looks)
            yield Figure(f"cost_{cost}", f"{content.name} and {cost}", says, rows, chart)


def _stopped(count: int) -> str:
    return f"{text.plural(count, 'run')} that {'was' if count == 1 else 'were'} stopped early"


def _of_pruned(drawn: Sequence[Setting]) -> str:
    """What a caption of curves says of pruned runs."""
    ends = " Curves that end early, or are a single point, are of runs that a pruner stopped."
    left_out = _left_out(sum(len(one.entries) - len(one.drawn) for one in drawn))
    return f"{ends if any(one.best.is_pruned for one in drawn) else ''}{left_out}"


def _left_out(count: int) -> str:
    return f" Left out: {_stopped(count)}." if count else ""
