"""How each chart is drawn, by Altair, from the rows of `data.py`. Never imports torch."""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import altair as alt
from altair.utils import schemapi

from sweeps.report.content import Content
from sweeps.report.data import Row
from sweeps.results.palette import look_of

WIDTH, HEIGHT = 360, 240  # pixels of the area between the axes
PANEL = 170
CELL = 34
_DIGITS = ",.6~g"  # Vega's own choice calls the one tick of figures that are all the same 0
Chart = alt.Chart | alt.LayerChart | alt.FacetChart


def unchecked() -> AbstractContextManager[None]:
    """Inside the block Altair does not hold every row against its schema, which for a thousand runs takes seconds."""
    return schemapi.debug_mode(False)


def curves(rows: Sequence[Row], metric: str, models: Sequence[str]) -> Chart:
    """Lines with bands, one for each network."""
    base = _chart(rows).encode(x=_epochs(rows), color=_colour(models), detail="label:N")
    band = base.mark_area(opacity=0.15).encode(y=_figure("low", metric), y2="high:Q")
    line = base.mark_line(strokeWidth=1.8).encode(y=_figure("mean", metric), strokeDash=_dash(models))
    dots = base.mark_point(size=14, filled=True).encode(y=_figure("mean", metric), shape=_shape(models), **_told())
    return alt.layer(band, line, dots).properties(width=WIDTH, height=HEIGHT)


def panels(rows: Sequence[Row], metric: str, content: Content) -> Chart:
    """A panel for each network, a line with its band for each rate."""
    base = alt.Chart().encode(x=_epochs(rows), color=_rate_colour(rows), detail="lr:N")
    band = base.mark_area(opacity=0.15).encode(y=_figure("low", metric), y2="high:Q")
    line = base.mark_line(strokeWidth=1.5, point=alt.OverlayMarkDef(size=12)).encode(
        y=_figure("mean", metric), **_told()
    )
    alone = len({row["model"] for row in rows}) == 1
    width, height = (WIDTH, HEIGHT) if alone else (PANEL, PANEL * 0.7)
    layered = alt.layer(band, line, data=alt.InlineData(values=list(rows))).properties(width=width, height=height)
    header = alt.Header(labelLimit=width)
    return layered.facet(facet=alt.Facet("model:N", title=None, sort=content.models, header=header), columns=3)


def sensitivity(rows: Sequence[Row], means: Sequence[Row], metric: str, models: Sequence[str]) -> Chart:
    """Points for runs, hollow where they were pruned, a line through the means, crosses for what diverged."""
    rate = alt.X("lr:Q", title="learning rate").scale(type="log", nice=False, padding=12)
    line = _chart(means).mark_line(strokeWidth=1.5).encode(
        x=rate, y=_figure("mean", metric), color=_colour(models), strokeDash=_dash(models)
    )  # fmt: skip
    with_value = [row for row in rows if row["value"] is not None]
    marks = {
        is_pruned: _chart([row for row in with_value if row["pruned"] == is_pruned])
        .mark_point(size=48 if is_pruned else 26, strokeWidth=1, opacity=0.9, filled=not is_pruned)
        .encode(x=rate, y=_figure("value", metric), color=_colour(models), shape=_shape(models), **_told())
        for is_pruned in (False, True)
    }
    without = [row for row in rows if row["value"] is None]
    crosses = _chart(without).mark_text(text="\N{MULTIPLICATION SIGN}", fontSize=15, fontWeight="bold", dy=-6).encode(
        x=rate, y=alt.value(HEIGHT), color=_colour(models), **_told()
    )  # fmt: skip
    return alt.layer(line, *marks.values(), crosses).properties(width=WIDTH, height=HEIGHT)


def heat(rows: Sequence[Row], metric: str) -> Chart:
    """Cells of network by rate, the figure in each."""
    in_order = sorted(rows, key=lambda row: (row["rate"] is None, row["rate"] or 0.0))
    x = alt.X("lr:N", title="learning rate", sort=list(dict.fromkeys(row["lr"] for row in in_order))).axis(
        labelAngle=0, grid=False
    )
    y = alt.Y("model:N", title=None, sort=list(dict.fromkeys(row["model"] for row in rows))).axis(grid=False)
    figures = [row["mean"] for row in rows if row["mean"] is not None]
    middle = (min(figures, default=0.0) + max(figures, default=0.0)) / 2
    shade = alt.Color("mean:Q", title=metric, legend=alt.Legend(format=".4~g")).scale(scheme="viridis")
    with_figure = [row for row in rows if row["mean"] is not None]
    cell = _chart(with_figure).mark_rect(stroke="#ffffff").encode(x=x, y=y, color=shade, **_told())
    without = [row for row in rows if row["mean"] is None]
    grey = _chart(without).mark_rect(stroke="#ffffff").encode(x=x, y=y, color=alt.value("#c8c8c8"), **_told())
    dark = alt.when(f"datum.mean != null && datum.mean < {middle}").then(alt.value("#ffffff"))
    words = _chart(rows).mark_text(fontSize=10, lineBreak="\n", lineHeight=11, limit=72).encode(
        x=x, y=y, text="shown:N", color=dark.otherwise(alt.value("#000000"))
    )  # fmt: skip
    best = [row for row in rows if row["is_best"]]
    frame = _chart(best).mark_rect(filled=False, stroke="#d55e00", strokeWidth=2.5).encode(x=x, y=y)
    return alt.layer(cell, grey, words, frame).properties(width=alt.Step(76), height=alt.Step(30))


def pareto(rows: Sequence[Row], metric: str, title: str, models: Sequence[str]) -> Chart:
    """Points for configurations, a stair through those that nothing beats in both."""
    cost = alt.X("cost:Q", title=title).scale(type="log", nice=False, padding=16)
    cost = cost.axis(format=",~g" if title.startswith("seconds") else "~s", tickCount=5)  # 200m would be minutes
    front = [row for row in rows if row["front"]]
    stair = _chart(front).mark_line(interpolate="step-after", color="#888888", strokeDash=[3, 3]).encode(
        x=cost, y=_figure("value", metric)
    )  # fmt: skip
    points = _chart(rows).mark_point(size=40, opacity=0.75, filled=True).encode(
        x=cost, y=_figure("value", metric), color=_colour(models), shape=_shape(models), **_told()
    )  # fmt: skip
    rings = _chart(front).mark_point(size=130, color="#888888", shape="circle").encode(
        x=cost, y=_figure("value", metric)
    )  # fmt: skip
    return alt.layer(stair, points, rings).properties(width=WIDTH, height=HEIGHT)


def times(rows: Sequence[Row], models: Sequence[str]) -> Chart:
    """A tick for each run."""
    x = alt.X("seconds:Q", title="seconds").scale(zero=True)
    y = alt.Y("model:N", title=None, sort=list(models)).axis(grid=False)
    marks = _chart(rows).mark_tick(thickness=2, size=18, opacity=0.8)
    chart: alt.Chart = marks.encode(x=x, y=y, color=_colour(models, legend=False), **_told())
    return chart.properties(width=WIDTH, height=alt.Step(26))


def confused(rows: Sequence[Row], labels: Sequence[str]) -> Chart:
    """True classes down, guesses across."""
    in_order = [f"{place} {label}" for place, label in enumerate(labels)]
    x = alt.X("guess:N", title="guess", sort=in_order).axis(
        labelAngle=-60, labelLimit=110, labelOverlap=False, grid=False
    )
    y = alt.Y("true:N", title="true", sort=in_order).axis(labelLimit=110, grid=False)
    shade = alt.Color("share:Q", title="share", legend=None).scale(domain=[0, 1], scheme="blues")
    cell = _chart(rows).mark_rect(stroke="#ffffff").encode(x=x, y=y, color=shade, description="says:N")
    ink = alt.when("datum.share > 0.5").then(alt.value("#ffffff")).otherwise(alt.value("#000000"))
    seen = [row for row in rows if row["count"]]
    words = _chart(seen).mark_text(fontSize=9).encode(x=x, y=y, text="count:N", color=ink)
    return alt.layer(cell, words).properties(width=alt.Step(CELL), height=alt.Step(CELL * 0.75))


def _chart(rows: Sequence[Row]) -> alt.Chart:
    return alt.Chart(alt.InlineData(values=list(rows)))


def _told() -> dict[str, Any]:
    """What a click leads to and what a screen reader says."""
    return {"href": alt.Href("link:N"), "description": alt.Description("says:N")}


def _figure(field: str, title: str) -> alt.Y:
    return alt.Y(f"{field}:Q", title=title).scale(zero=False).axis(format=_DIGITS)


def _epochs(rows: Sequence[Row]) -> alt.X:
    last = max(row["epoch"] for row in rows)
    step = math.ceil(last / 10)
    return alt.X("epoch:Q", title="epoch").axis(values=list(range(step, last + 1, step)), format="d").scale(zero=False)


def _colour(models: Sequence[str], *, legend: bool = True) -> alt.Color:
    scale = alt.Scale(domain=list(models), range=[look_of(model).colour for model in models])
    shown = alt.Legend(title=None, orient="top", columns=4, symbolOpacity=1, symbolStrokeWidth=2) if legend else None
    return alt.Color("model:N", scale=scale, legend=shown)


def _dash(models: Sequence[str]) -> alt.StrokeDash:
    scale = alt.Scale(domain=list(models), range=[list(look_of(model).dash) or [1, 0] for model in models])
    return alt.StrokeDash("model:N", scale=scale, legend=None)


def _shape(models: Sequence[str]) -> alt.Shape:
    scale = alt.Scale(domain=list(models), range=[look_of(model).shape for model in models])
    return alt.Shape("model:N", scale=scale, legend=None)


# From cold to warm, seen on white as on black, and by all (Okabe and Ito).
_RAMP = ("#0072b2", "#56b4e9", "#009e73", "#a68a00", "#e69f00", "#d55e00", "#cc79a7", "#7f7f7f")
_COLD_TO_WARM = ("#0072b2", "#009e73", "#e69f00", "#d55e00")


def _rate_colour(rows: Sequence[Row]) -> alt.Color:
    """A colour for each rate; where there are more rates than colours, a scale that runs through them."""
    in_order = sorted(rows, key=lambda row: (row["rate"] is None, row["rate"] or 0.0))
    names = list(dict.fromkeys(row["lr"] for row in in_order))
    known = [row["rate"] for row in rows if row["rate"] is not None and row["rate"] > 0]
    if len(names) <= len(_RAMP) or len(set(known)) < 2:
        legend = alt.Legend(symbolOpacity=1, symbolStrokeWidth=2)
        return alt.Color("lr:N", title="lr", legend=legend).scale(domain=names, range=_RAMP[: len(names)])
    low, *_, high = rates = sorted(set(known))
    told = alt.Legend(type="symbol", values=rates[:: math.ceil(len(rates) / len(_RAMP))], symbolOpacity=1)
    steps = len(_COLD_TO_WARM) - 1
    stops = [low * (high / low) ** (step / steps) for step in range(steps + 1)]
    return alt.Color("rate:Q", title="lr", legend=told).scale(type="log", domain=stops, range=_COLD_TO_WARM, nice=False)
