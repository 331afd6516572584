"""How each chart is drawn, by Altair, from the rows of `figures.py`. Never imports torch."""

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import altair as alt
from altair.utils import schemapi

from sweeps.report.content import LOOKS, Look
from sweeps.results.columns import Column
from sweeps.results.matrix import Matrix

WIDTH, HEIGHT = 360, 240  # pixels of the area between the axes
FACET = 170
_DIGITS = ",.6~g"  # Vega's own choice labels the one tick of equal values 0
# A linear axis crowds values that reach to so many times the smallest one, and whose mean is so near to it.
_LOG_FROM, _LOG_MIDDLE = 10, 0.42
Chart = alt.Chart | alt.LayerChart | alt.FacetChart
Looks = Mapping[str, Look]
Row = dict[str, Any]


def unchecked() -> AbstractContextManager[None]:
    """Inside the block Altair does not validate every row against its schema, which takes seconds for 1,000 runs."""
    return schemapi.debug_mode(False)


def curves(rows: Sequence[Row], metric: str, looks: Looks) -> Chart:
    """Lines with bands, one for each category."""
    base = _chart(rows).encode(x=_steps(rows), detail="label:N", **_look(looks, "color"))
    band = base.mark_area(opacity=0.15).encode(y=_value("low", metric), y2="high:Q")
    line = base.mark_line(strokeWidth=1.8).encode(y=_value("mean", metric), **_look(looks, "strokeDash"))
    dots = base.mark_point(size=14, filled=True)
    dots = dots.encode(y=_value("mean", metric), **_look(looks, "shape"), **_described())
    return alt.layer(band, line, dots).properties(width=WIDTH, height=HEIGHT)


def facets(rows: Sequence[Row], metric: str, axis: Column) -> Chart:
    """A panel for each category, a line with its band for each value of `axis`."""
    base = alt.Chart().encode(x=_steps(rows), color=_value_colour(rows, axis), detail="at_text:N")
    band = base.mark_area(opacity=0.15).encode(y=_value("low", metric), y2="high:Q")
    dotted = base.mark_line(strokeWidth=1.5, point=alt.OverlayMarkDef(size=12))
    line = dotted.encode(y=_value("mean", metric), **_described())
    alone = len({row["category"] for row in rows}) == 1
    width, height = (WIDTH, HEIGHT) if alone else (FACET, FACET * 0.7)
    layered = alt.layer(band, line, data=alt.InlineData(values=list(rows))).properties(width=width, height=height)
    categories = list(dict.fromkeys(row["category"] for row in rows))
    header = alt.Header(labelLimit=width)
    return layered.facet(facet=alt.Facet("category:N", title=None, sort=categories, header=header), columns=3)


def against(rows: Sequence[Row], means: Sequence[Row], axis: Column, metric: str, looks: Looks) -> Chart:
    """Points for runs, hollow where they were pruned, a line through the means, crosses for diverged runs."""
    x = _axis(rows, axis)
    line = _chart(means).mark_line(strokeWidth=1.5).encode(
        x=x, y=_value("mean", metric), **_look(looks, "color", "strokeDash")
    )  # fmt: skip
    with_value = [row for row in rows if row["value"] is not None]
    marks = {
        is_pruned: _chart([row for row in with_value if row["pruned"] == is_pruned])
        .mark_point(size=48 if is_pruned else 26, strokeWidth=1, opacity=0.9, filled=not is_pruned)
        .encode(x=x, y=_value("value", metric), **_look(looks, "color", "shape"), **_described())
        for is_pruned in (False, True)
    }
    without = [row for row in rows if row["value"] is None]
    crosses = _chart(without).mark_text(text="\N{MULTIPLICATION SIGN}", fontSize=15, fontWeight="bold", dy=-6).encode(
        x=x, y=alt.value(HEIGHT), **_look(looks, "color"), **_described()
    )  # fmt: skip
    return alt.layer(line, *marks.values(), crosses).properties(width=WIDTH, height=HEIGHT)


def heat(rows: Sequence[Row], metric: str, matrix: Matrix) -> Chart:
    """A table of two swept keys, the best mean in each place."""
    x = alt.X("across:N", title=matrix.across.header, sort=matrix.heads()).axis(labelAngle=0, grid=False)
    y = alt.Y("down:N", title=matrix.down.header, sort=matrix.rows).axis(grid=False)
    with_value = [row for row in rows if row["mean"] is not None]
    values = [row["mean"] for row in with_value]
    middle = (min(values, default=0.0) + max(values, default=0.0)) / 2
    shade = alt.Color("mean:Q", title=metric, legend=alt.Legend(format=".4~g")).scale(scheme="viridis")
    square = _chart(with_value).mark_rect(stroke="#ffffff").encode(x=x, y=y, color=shade, **_described())
    without = [row for row in rows if row["mean"] is None]
    grey = _chart(without).mark_rect(stroke="#ffffff").encode(x=x, y=y, color=alt.value("#c8c8c8"), **_described())
    dark = alt.when(f"datum.mean != null && datum.mean < {middle}").then(alt.value("#ffffff"))
    words = _chart(rows).mark_text(fontSize=10, lineBreak="\n", lineHeight=11, limit=72).encode(
        x=x, y=y, text="shown:N", color=dark.otherwise(alt.value("#000000"))
    )  # fmt: skip
    best = [row for row in rows if row["is_best"]]
    frame = _chart(best).mark_rect(filled=False, stroke="#d55e00", strokeWidth=2.5).encode(x=x, y=y)
    return alt.layer(square, grey, words, frame).properties(width=alt.Step(76), height=alt.Step(30))


def cost(rows: Sequence[Row], metric: str, title: str, looks: Looks) -> Chart:
    """Points for settings, a stair through those that no other beats in both."""
    x = alt.X("cost:Q", title=title).scale(type=_scale([row["cost"] for row in rows]), nice=False, padding=16)
    x = x.scale(zero=False).axis(format=_DIGITS if title == "seconds" else "~s", tickCount=5)  # 200m would be minutes
    front = [row for row in rows if row["front"]]
    stair = _chart(front).mark_line(interpolate="step-after", color="#888888", strokeDash=[3, 3]).encode(
        x=x, y=_value("value", metric)
    )  # fmt: skip
    points = _chart(rows).mark_point(size=40, opacity=0.75, filled=True).encode(
        x=x, y=_value("value", metric), **_look(looks, "color", "shape"), **_described()
    )  # fmt: skip
    rings = _chart(front).mark_point(size=130, color="#888888", shape="circle").encode(x=x, y=_value("value", metric))
    return alt.layer(stair, points, rings).properties(width=WIDTH, height=HEIGHT)


def times(rows: Sequence[Row], looks: Looks) -> Chart:
    """A tick for each run."""
    x = alt.X("seconds:Q", title="seconds").scale(zero=True)
    y = alt.Y("category:N", title=None, sort=list(looks)).axis(grid=False, labels=len(looks) > 1, ticks=len(looks) > 1)
    marks = _chart(rows).mark_tick(thickness=2, size=18, opacity=0.8)
    chart: alt.Chart = marks.encode(x=x, y=y, **_look(looks, "color", legend=False), **_described())
    return chart.properties(width=WIDTH, height=alt.Step(26))


def _chart(rows: Sequence[Row]) -> alt.Chart:
    return alt.Chart(alt.InlineData(values=list(rows)))


def _described() -> dict[str, Any]:
    """Where a click leads and what a screen reader says."""
    return {"href": alt.Href("link:N"), "description": alt.Description("says:N")}


def _value(field: str, title: str) -> alt.Y:
    return alt.Y(f"{field}:Q", title=title).scale(zero=False).axis(format=_DIGITS)


def _steps(rows: Sequence[Row]) -> alt.X:
    x = alt.X("step:Q", title="step").scale(zero=False)
    steps = [row["step"] for row in rows]
    if not all(float(step).is_integer() for step in steps):
        return x.axis(format=_DIGITS)
    return x.axis(values=list(map(float, ticks(int(min(steps)), int(max(steps))))), format=_DIGITS)


def ticks(first: int, last: int) -> list[int]:
    """At most ten whole numbers, 1, 2 or 5 times a power of ten apart: a step has no half."""
    raw = max((last - first) / 10, last / 10, 1)
    power = 10 ** math.floor(math.log10(raw))
    gap = next(int(factor * power) for factor in (1, 2, 5, 10) if factor * power >= raw)
    return [tick for tick in range(0, last + 1, gap) if tick >= first] or [last]


def _axis(rows: Sequence[Row], axis: Column) -> alt.X:
    if not axis.right:
        names = _in_order(rows)
        angle = -30 if sum(map(len, names)) > WIDTH / 8 else 0
        return alt.X("at_text:N", title=axis.header, sort=names).axis(labelAngle=angle, labelLimit=110)
    kind = _scale([row["at"] for row in rows])
    return alt.X("at:Q", title=axis.header).scale(type=kind, nice=False, padding=12, zero=False).axis(format=_DIGITS)


def _scale(values: Sequence[float]) -> Any:
    """`log` for values that would crowd at the left of a linear axis."""
    known = sorted(set(values))
    if not known or known[0] <= 0 or known[-1] < _LOG_FROM * known[0]:
        return "linear"
    middle = sum((value - known[0]) / (known[-1] - known[0]) for value in known) / len(known)
    return "log" if len(known) == 2 or middle < _LOG_MIDDLE else "linear"


def _in_order(rows: Sequence[Row]) -> list[str]:
    """The values of an axis in words: numbers by size, then the others in their order."""
    numbers = {row["at_text"]: row["at"] for row in rows}
    return sorted(numbers, key=lambda text: (numbers[text] is None, numbers[text] or 0.0))


def _look(looks: Looks, *channels: str, legend: bool = True) -> dict[str, Any]:
    """The colour, dash and shape of each category, those that are asked for; the legend is that of the colours."""
    shown = alt.Legend(title=None, orient="top", columns=4, symbolOpacity=1, symbolStrokeWidth=2)
    kinds = {"color": alt.Color, "strokeDash": alt.StrokeDash, "shape": alt.Shape}
    found: dict[str, Any] = {}
    for part, (channel, kind) in enumerate(kinds.items()):
        scale = alt.Scale(domain=list(looks), range=[look[part] for look in looks.values()])
        has_legend = channel == "color" and legend and len(looks) > 1
        found[channel] = kind("category:N", scale=scale, legend=shown if has_legend else None)
    return {channel: found[channel] for channel in channels}


_COLD_TO_WARM = ("#0072b2", "#009e73", "#e69f00", "#d55e00")  # visible on white and on black, and to all


def _value_colour(rows: Sequence[Row], axis: Column) -> alt.Color:
    """A colour for each value: along a scale where they are numbers."""
    values = sorted({row["at"] for row in rows if row["at"] is not None})
    if not axis.right or len(values) < 2:
        names = _in_order(rows)
        ramp = [LOOKS[place % len(LOOKS)][0] for place in range(len(names))]
        legend = alt.Legend(symbolOpacity=1, symbolStrokeWidth=2)
        return alt.Color("at_text:N", title=axis.header, legend=legend).scale(domain=names, range=ramp)
    kind, low, high = _scale(values), values[0], values[-1]
    shares = [place / (len(_COLD_TO_WARM) - 1) for place in range(len(_COLD_TO_WARM))]
    stops = [low * (high / low) ** share if kind == "log" else low + (high - low) * share for share in shares]
    legend = alt.Legend(type="symbol", values=values[:: math.ceil(len(values) / 8)], symbolOpacity=1, format=".4~g")
    colour = alt.Color("at:Q", title=axis.header, legend=legend)
    return colour.scale(type=kind, domain=stops, range=_COLD_TO_WARM, nice=False)
