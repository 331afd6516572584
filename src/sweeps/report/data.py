"""The rows behind each chart, as plain data. Never imports torch.

Every row of a single run has `link`, its place in the page, and `says`, what a pointer or a screen reader is told.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from typing import Any

from sweeps.report.content import Configuration, Content, Entry, mean_of
from sweeps.results import format as text
from sweeps.results.groups import Place, matrix_of
from sweeps.vision.confusion import Confusion

Row = dict[str, Any]

MOST_RATES = 40  # lines in one panel


def best_by_model(content: Content) -> list[Configuration]:
    """Each network's best configuration by its mean; where nothing is finished, by its figures so far."""
    sign = 1 if content.criterion is None or content.criterion.direction == "max" else -1

    def merit(one: Configuration) -> tuple[bool, float]:
        so_far = one.best.row.value
        figure = one.mean if one.mean is not None else so_far
        return one.mean is not None, -float("inf") if figure is None else sign * figure

    found = []
    for model in content.models:
        found.append(max((one for one in content.configurations if one.model == model), key=merit))
    return found


def curves(configurations: Sequence[Configuration], metric: str) -> list[Row]:
    """Mean, least and largest figure over the seeds at each epoch, with the number of seeds that have one."""
    rows: list[Row] = []
    for one in configurations:
        points: dict[int, list[float]] = {}
        for entry in one.drawn:
            for epoch, value in entry.curve(metric).items():
                points.setdefault(epoch, []).append(value)
        for epoch, values in sorted(points.items()):
            mean = mean_of(values)
            says = (
                f"{_name(one)}: {metric} {text.fraction(mean)} after epoch {epoch}, {text.plural(len(values), 'run')}"
            )
            rows.append(
                {
                    "model": one.model,
                    "label": one.label,
                    "lr": text.setting(one.best.row.lr),
                    "rate": one.best.row.lr,
                    "epoch": epoch,
                    "mean": mean,
                    "low": min(values),
                    "high": max(values),
                    "n": len(values),
                    "says": says,
                    "link": f"#{one.best.key}",
                }
            )
    return rows


def by_rate(content: Content) -> list[Configuration]:
    """Each network's best configuration at each of its learning rates, the best rate first."""
    found: dict[tuple[str, float | None], Configuration] = {}
    for one in content.configurations:  # the best first
        found.setdefault((one.model, one.best.row.lr), one)
    return [one for model in content.models for (name, _), one in found.items() if name == model]


def best_rates(rates: Sequence[Configuration]) -> list[Configuration]:
    """Of each network's rates in `by_rate` the best, as many as a panel holds."""
    return [one for _, of in groupby(rates, key=lambda one: one.model) for one in islice(of, MOST_RATES)]


def stopped_early(content: Content) -> int:
    """How many of the ranked runs a pruner has stopped."""
    return sum(entry.is_pruned for entry in _ranked(content))


def sensitivity(content: Content) -> list[Row]:
    """Every run of a known rate: its objective, or None where it diverged; `pruned` where it was stopped early."""
    rows = []
    for entry in _ranked(content):
        row = entry.row
        if row.lr and row.lr > 0 and row.is_finished:
            shown = text.fraction(row.value) if row.value is not None else row.status
            if entry.is_pruned and row.value is not None:
                shown += f", pruned after {text.plural(row.epochs_done, 'epoch')}"
            says = f"{entry.label}: {shown}"
            rows.append({**_run(entry), "lr": row.lr, "value": row.value, "pruned": entry.is_pruned, "says": says})
    return rows


def heat(content: Content) -> list[Row]:
    """Model x learning rate: the mean of each cell's best configuration, and what else ended there."""
    matrix = matrix_of(content.rows)
    if matrix is None or not matrix.cells:
        return []
    rows = []
    for place in dict.fromkeys((*matrix.cells, *matrix.others)):
        group = matrix.cells.get(place)
        apart = matrix.others.get(place, Counter[str]())
        others = ", ".join(f"{count} {status}" for status, count in apart.items())
        if group is None and not others:
            continue
        mean = group.mean if group is not None else None
        rows.append(
            {
                "model": place.model,
                "lr": text.setting(place.lr),
                "rate": place.lr,
                "mean": mean,
                "n": group.n if group is not None else 0,
                "shown": text.fraction(mean)
                if mean is not None
                else "\n".join(status if count == 1 else f"{count} {status}" for status, count in apart.items()),
                "is_best": place in matrix.best,
                "says": f"{place.model} at {text.setting(place.lr)}: {_cell(mean, group.n if group else 0, others)}",
                "link": _link_of(content, place),
            }
        )
    return rows


def costs(content: Content, cost: str) -> list[Row]:
    """Each configuration's mean objective against `parameters`, `forward_macs` or `seconds`; `front` marks Pareto."""
    rows: list[Row] = []
    for one in content.configurations:
        figures = [figure for entry in one.drawn if (figure := _cost(entry, cost)) is not None]
        if one.mean is None or not figures:
            continue
        mean = mean_of(figures)
        says = f"{_name(one)}: {text.fraction(one.mean)}, {cost} {text.metric(mean)}, {text.plural(one.n, 'run')}"
        rows.append({**_run(one.best), "label": one.label, "cost": mean, "value": one.mean, "says": says})
    least = content.criterion is not None and content.criterion.direction == "min"
    best: float | None = None
    for row in sorted(rows, key=lambda row: (row["cost"], row["value"] if least else -row["value"])):
        gain = -row["value"] if least else row["value"]
        row["front"] = best is None or gain > best
        best = gain if row["front"] else best
    return rows


def times(content: Content) -> list[Row]:
    """Seconds of training and evaluation of every run that has been trained."""
    rows = []
    for entry in _ranked(content):
        if entry.row.seconds:
            says = f"{entry.label}: {text.duration(entry.row.seconds)} s, {entry.row.status}"
            rows.append({**_run(entry), "seconds": entry.row.seconds, "status": entry.row.status, "says": says})
    return rows


def confused(confusion: Confusion) -> list[Row]:
    """Every cell of a confusion, with its share of the images of its class."""
    rows = []
    for true, counts in enumerate(confusion.counts):
        for guess, count in enumerate(counts):
            share = count / max(sum(counts), 1)
            says = f"{confusion.labels[true]} taken for {confusion.labels[guess]}: {count} of {sum(counts)}"
            rows.append(
                {
                    "true": f"{true} {confusion.labels[true]}",
                    "guess": f"{guess} {confusion.labels[guess]}",
                    "true_at": true,
                    "guess_at": guess,
                    "count": count,
                    "share": share,
                    "says": says,
                }
            )
    return rows


def _ranked(content: Content) -> Iterator[Entry]:
    """The runs of the objective that most runs have."""
    return (entry for entry in content.entries if entry.row.criterion == content.criterion)


def _run(entry: Entry) -> Row:
    row = entry.row
    return {"run": row.name, "model": row.model, "seed": row.seed, "link": f"#{entry.key}"}


def _name(one: Configuration) -> str:
    return f"{one.model} {one.label}".strip()


def _cost(entry: Entry, cost: str) -> float | None:
    if not entry.row.has_result:
        return None
    if cost == "forward_macs":
        return text.number(entry.record.forward_macs) if entry.record is not None else None
    return text.number(getattr(entry.row, cost))


def _cell(mean: float | None, n: int, others: str) -> str:
    figure = f"{text.fraction(mean)}, {text.plural(n, 'run')}" if mean is not None else ""
    return "; ".join(part for part in (figure, others) if part)


def _link_of(content: Content, place: Place) -> str:
    return next(
        (f"#{entry.key}" for entry in content.entries if (entry.row.model, entry.row.lr) == tuple(place)), "#table"
    )
