"""The curve of a run's objective as a column: a sparkline on a terminal, the figures in an export."""

from collections.abc import Sequence
from typing import Any

from sweeps.errors import RecordError
from sweeps.record.records import RunDir
from sweeps.results import format as text
from sweeps.results.columns import Column
from sweeps.results.runs import RunRow

BLOCKS = "▁▂▃▄▅▆▇█"
WIDTH = 20  # characters; of more epochs some are left out


def curve_column(rows: Sequence[RunRow]) -> Column:
    """The objective epoch by epoch. All runs with the same objective share a scale, so that their curves compare."""
    curves = {row.path: _curve(row) for row in rows}
    bounds: dict[str, tuple[float, float]] = {}
    for row in rows:
        if row.criterion and curves[row.path]:
            low, high = bounds.get(row.criterion.metric, (float("inf"), -float("inf")))
            bounds[row.criterion.metric] = min(low, *curves[row.path]), max(high, *curves[row.path])

    def show(row: RunRow) -> str:
        curve = curves[row.path]
        return sparkline(curve, *bounds[row.criterion.metric]) if curve and row.criterion else text.BLANK

    def get(row: RunRow) -> Any:
        return curves[row.path]

    metrics = dict.fromkeys(row.criterion.metric for row in rows if row.criterion)
    return Column("curve", "/".join(metrics) or "curve", get, show, right=False)


def sparkline(values: Sequence[float], low: float, high: float) -> str:
    """One block a value, at most `WIDTH` of them; the first and the last value are always there."""
    count = min(len(values), WIDTH)
    places = [round(at * (len(values) - 1) / max(count - 1, 1)) for at in range(count)]
    heights = [(values[place] - low) / (high - low) if high > low else 0.5 for place in places]
    return "".join(BLOCKS[min(int(height * len(BLOCKS)), len(BLOCKS) - 1)] for height in heights)


def _curve(row: RunRow) -> list[float]:
    if row.criterion is None:
        return []
    try:
        epochs = RunDir(row.path).read_metrics()
    except RecordError:  # told among the problems
        return []
    return [value for epoch in epochs if (value := text.number(epoch.get(row.criterion.metric))) is not None]
