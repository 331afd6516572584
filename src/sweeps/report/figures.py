"""Which charts a report holds, and the captions: what each shows, and what it leaves out. Never imports torch."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sweeps.report import charts, data
from sweeps.report.content import Configuration, Content
from sweeps.report.data import Row
from sweeps.results import format as text
from sweeps.results.ranking import images

FEW_RATES = 5  # as many cells of a heat map stand beside another chart

COSTS = {
    "parameters": "parameters",
    "forward_macs": "multiply-accumulate operations for one image",
    "seconds": "seconds of training and evaluation",
}


@dataclass(frozen=True)
class Figure:
    """One chart: its file name, heading, a sentence that says what it shows, its rows, and the chart itself."""

    name: str
    title: str
    says: str
    rows: list[Row]
    chart: charts.Chart
    wide: bool = False

    def __post_init__(self) -> None:
        """Names of metrics and networks come from records: of them only what a file may be called is kept."""
        object.__setattr__(self, "name", re.sub(r"[^A-Za-z0-9_]", "_", self.name)[:80])


def figures_of(content: Content) -> Iterator[Figure]:
    """Every chart that these runs have figures for."""
    if content.criterion is None:
        return
    best = data.best_by_model(content)
    metric = content.criterion.metric
    for key in dict.fromkeys((metric, "train_loss")):
        rows = data.curves(best, key)
        if rows:
            says = (
                "Each network's best configuration: the mean over its seeds, and a band from the least to the largest."
                f"{_of_pruned(best)}"
            )
            yield Figure(f"curves_{key}", f"{key} by epoch", says, rows, charts.curves(rows, key, content.models))
    yield from _by_rate(content, metric)
    for cost, title in COSTS.items():
        rows = data.costs(content, cost)
        if len({row["cost"] for row in rows}) > 1:  # at one and the same cost there is nothing to weigh
            says = (
                f"Mean {metric} of every configuration against {title}; a line joins those that nothing beats in both."
                f"{_left_out(data.stopped_early(content))}"
            )
            name, heading = f"pareto_{cost}", f"{metric} and {title.partition(' of ')[0]}"
            yield Figure(name, heading, says, rows, charts.pareto(rows, metric, title, content.models))
    rows = data.times(content)
    if rows:
        says = "Seconds of training and evaluation; every tick is a run. Several runs may have shared the machine."
        pruned = data.stopped_early(content)
        says += f" Among them: {_stopped(pruned)}." if pruned else ""
        yield Figure("time", "Time per run", says, rows, charts.times(rows, content.models))
    yield from _confusions(content)


def _by_rate(content: Content, metric: str) -> Iterator[Figure]:
    rates = data.by_rate(content)
    drawn = data.best_rates(rates)
    rows = data.curves(drawn, metric)
    if len({row["lr"] for row in rows}) > 1:
        says = f"The best configuration of each network at each learning rate; bands as above.{_of_pruned(drawn)}"
        if len(drawn) < len(rates):
            says += (
                f" Of each network the {data.MOST_RATES} best rates are drawn; left out, but in the sensitivity to the "
                f"learning rate: {text.plural(len(rates) - len(drawn), 'curve')} of {len(rates)}."
            )
        yield Figure(
            "curves_by_rate",
            f"{metric} by learning rate",
            says,
            rows,
            charts.panels(rows, metric, content),
            wide=len({row["model"] for row in rows}) > 1,
        )
    rows = data.sensitivity(content)
    if len({row["lr"] for row in rows}) > 1:
        means = [
            {"model": one.model, "lr": one.best.row.lr, "mean": one.mean}
            for one in rates
            if one.mean is not None and one.best.row.lr and one.best.row.lr > 0
        ]
        says = (
            "Every point is a run, lines join the means of each rate's best configuration; a cross at the bottom is a "
            "run that diverged."
        )
        pruned = sum(row["pruned"] for row in rows)
        if pruned:
            says += f" Hollow points: {_stopped(pruned)}; the lines leave them out."
        chart = charts.sensitivity(rows, means, metric, content.models)
        yield Figure("learning_rate", "Sensitivity to the learning rate", says, rows, chart)
    rows = data.heat(content)
    if len(rows) > 1:
        says = f"Mean {metric} of each cell's best configuration, measured on {images(content.criterion.split)}" if (
            content.criterion
        ) else ""  # fmt: skip
        is_wide = len({row["lr"] for row in rows}) > FEW_RATES
        yield Figure("heat_map", "Network by learning rate", f"{says}.", rows, charts.heat(rows, metric), wide=is_wide)


def _confusions(content: Content) -> Iterator[Figure]:
    for place, (entry, confusion) in enumerate(content.confusions()):
        rows = data.confused(confusion)
        name = f"confusion_{place + 1}_{entry.row.model}"
        says = f"What {entry.label} takes for what on the {confusion.split} images: counts, shaded by their share."
        yield Figure(name, f"Confusion: {entry.row.model}", says, rows, charts.confused(rows, confusion.labels))


def _stopped(count: int) -> str:
    return f"{text.plural(count, 'run')} that {'was' if count == 1 else 'were'} stopped early"


def _of_pruned(drawn: Sequence[Configuration]) -> str:
    """What a caption of curves says of pruned runs."""
    ends = " Curves that end early, or are a single point, are of runs that a pruner stopped."
    left_out = _left_out(sum(len(one.entries) - len(one.drawn) for one in drawn))
    return f"{ends if any(one.best.is_pruned for one in drawn) else ''}{left_out}"


def _left_out(count: int) -> str:
    return f" Left out: {_stopped(count)}." if count else ""
