"""What a sweep's figures suggest to do next: a sentence each, with the override to type."""

import statistics
from collections.abc import Iterator, Sequence

from sweeps.record.records import Status
from sweeps.results import format as text
from sweeps.results.inference import ALPHA, holm, pairwise
from sweeps.results.ranking import criteria
from sweeps.results.runs import Criterion, RunRow
from sweeps.results.settings import BEST, TIED, Cell, cell_columns, has_repeats

DISAGREE_ACC = 0.02  # standard deviation of an accuracy over seeds: two points
DISAGREE_LOSS = 0.1  # the same of a loss, as a share of its mean


def advice(rows: Sequence[RunRow], cells: Sequence[Cell]) -> list[str]:
    """The sentences, the most consequential first; none where there is nothing to say."""
    return [
        *_single_runs(cells),
        *_collapsed(cells),
        *_disagreeing(cells),
        *_rates_that_diverge(rows),
        *_rates_at_the_edge(rows, cells),
    ]


def _single_runs(cells: Sequence[Cell]) -> Iterator[str]:
    with_result = [cell for cell in cells if cell.n]
    if len(with_result) > 1 and not has_repeats(cells):
        yield (
            "Every cell is a single run (n = 1), which is not evidence: the next seed may turn the order round. "
            "A sweep of the best ones with repeats=5 tells."
        )


def _collapsed(cells: Sequence[Cell]) -> Iterator[str]:
    for cell in cells:
        if cell.collapsed and len(cell.rows) > 1:
            yield (
                f"{cell.label}: collapsed in {cell.collapsed} of {len(cell.rows)} seeds (NaN, or no better than "
                "chance); try a smaller optim.lr, schedule.warmup or another init="
            )


def _disagreeing(cells: Sequence[Cell]) -> Iterator[str]:
    for cell in cells:
        if cell.std is None or cell.criterion is None or cell.mean is None or cell.collapsed:
            continue
        if cell.standing not in (BEST, TIED):
            continue  # its rank matters to nobody, or is settled
        limit = DISAGREE_LOSS * abs(cell.mean) if cell.criterion.metric.endswith("_loss") else DISAGREE_ACC
        if cell.std > limit:
            low, high = min(cell.by_seed.values()), max(cell.by_seed.values())
            steadier = (
                "" if "_bn_" in cell.criterion.metric
                else "; where the network has BatchNorm, trainer.bn_reestimate=50 with "
                f"objective.metric={cell.criterion.split}_bn_acc is steadier"
            )  # fmt: skip
            yield (
                f"{cell.label}: its seeds disagree ({text.fraction(low)} to {text.fraction(high)}): its rank is not "
                f"settled before there are more of them{steadier}"
            )


def _by_lr(rows: Sequence[RunRow], criterion: Criterion) -> dict[str, dict[float, list[RunRow]]]:
    """The runs that differ in nothing but rate and seed, by a label of what they share, then by rate."""
    columns = [column for column in cell_columns(rows) if column.key != "lr"]
    found: dict[tuple[str, ...], dict[float, list[RunRow]]] = {}
    for row in rows:
        if row.criterion == criterion and row.lr is not None and row.is_finished:
            keys = tuple(column.show(row) for column in columns)
            found.setdefault(keys, {}).setdefault(row.lr, []).append(row)
    telling = [at for at in range(len(columns)) if len({keys[at] for keys in found}) > 1]
    return {
        ", ".join(keys[at] if columns[at].key == "model" else f"{columns[at].header} {keys[at]}" for at in telling): of
        for keys, of in found.items()
    }


def _rates_that_diverge(rows: Sequence[RunRow]) -> Iterator[str]:
    for criterion in criteria(rows)[:1]:
        for label, by_lr in _by_lr(rows, criterion).items():
            sound = [lr for lr, of in by_lr.items() if any(row.status != Status.DIVERGED for row in of)]
            lost = sorted(lr for lr in by_lr if not sound or lr > max(sound))
            if sound and lost:
                named = f"{label}: " if label else ""
                yield f"{named}every run from optim.lr={text.setting(lost[0])} on diverged: leave those rates out"


def _rates_at_the_edge(rows: Sequence[RunRow], cells: Sequence[Cell]) -> Iterator[str]:
    """For each model its best grid alone: with worse momenta, say, nobody would go on.

    Where anything was repeated single runs do not compete, as in the table of cells, and a rate is the best only where
    all others are shown to be worse.
    """
    if any((folder / "study.journal").exists() for folder in {row.path.parent for row in rows}):
        return  # rates that a search has drawn are no grid with an edge
    least = 2 if has_repeats(cells) else 1
    for criterion in criteria(rows)[:1]:
        best: dict[str, tuple[float, str, dict[float, list[RunRow]]]] = {}
        for label, by_lr in _by_lr(rows, criterion).items():
            means = _means(by_lr, least)
            if len(by_lr) > 1 and means:
                model = next(iter(by_lr.values()))[0].model
                top = max(criterion.gain(mean) for mean in means.values())
                if model not in best or top > best[model][0]:
                    best[model] = top, label, by_lr
        for _, label, by_lr in best.values():
            means = _means(by_lr, least)
            winner = max(means, key=lambda lr: criterion.gain(means[lr]))
            further = _beyond(sorted(by_lr), winner)
            if further and _stands_out(by_lr, winner, least):
                named = f"{label}: " if label else ""
                yield f"{named}the best rate lies at the grid's edge; extend: optim.lr={further}"


def _means(by_lr: dict[float, list[RunRow]], least: int) -> dict[float, float]:
    """The mean of each rate with `least` whole runs or more."""
    figures = {lr: _by_seed(of) for lr, of in by_lr.items()}
    return {lr: statistics.fmean(of.values()) for lr, of in figures.items() if len(of) >= least}


def _by_seed(rows: Sequence[RunRow]) -> dict[int, float]:
    return {row.seed or 0: row.value for row in rows if row.has_full_figure and row.value is not None}


def _stands_out(by_lr: dict[float, list[RunRow]], winner: float, least: int) -> bool:
    """Whether every other rate is shown to be worse; of single runs, whether none has the same figure."""
    best, *others = [_by_seed(by_lr[lr]) for lr in sorted(by_lr, key=lambda lr: lr != winner)]
    others = [other for other in others if other]
    if least == 1:
        return all(statistics.fmean(best.values()) != statistics.fmean(other.values()) for other in others)
    return all(p < ALPHA for p in holm([pairwise([best, other]).get((0, 1), 1.0) for other in others]))


def _beyond(rates: Sequence[float], winner: float) -> str:
    """Two rates past the edge at which `winner` lies, in the grid's own steps; empty where it lies inside."""
    if winner == rates[-1]:
        factor = rates[-1] / rates[-2]
    elif winner == rates[0]:
        factor = rates[0] / rates[1]
    else:
        return ""
    return ",".join(f"{float(f'{winner * factor**step:.2g}'):g}" for step in (1, 2))
