"""The rules by which a run is stopped. Pure functions of what was reported; more is better in all of them.

Cells are compared, by the mean of those of their seeds that have come as far: seeds of one cell are no rivals.

asha       Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning" (its stopping form)
hyperband  Li et al. 2018, "Hyperband": asha from several first rungs, a share of the runs each
halving    Jamieson, Talwalkar 2016: all runs to a rung, then the best ones on from there
median     Golovin et al. 2017, "Google Vizier", section 3.2.2
"""

import hashlib
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

Gains = Mapping[float, float]  # epochs done -> figure, turned so that more is better

_SLACK = 1e-9  # epochs: what rounding may cost


@dataclass(frozen=True)
class Rule:
    """What `conf/pruner/` says, for runs of `epochs` epochs; see there for the meaning of each."""

    name: str
    epochs: float
    first: float = 1.0
    factor: int = 3
    least: int = 4
    patience: float = 3.0
    min_delta: float = 0.0


def judge(
    rule: Rule, own: Gains, rivals: Mapping[str, Sequence[Gains]], *, siblings: Sequence[Gains] = (), cell: str = ""
) -> str | None:
    """Why the run should stop after its last report, or None where it goes on.

    `rivals` holds the reports of all runs of every other cell, `siblings` those of its own cell's other seeds; the
    bracket is drawn from `cell`.
    """
    if not own or max(own) >= rule.epochs - _SLACK:
        return None
    if rule.name == "median":
        return _median(rule, [own, *siblings], list(rivals.values()), max(own))
    if rule.name == "patience":
        return _patience(rule, own)
    if rule.name in ("asha", "halving"):
        return _halved(rule, rule.first, own, siblings, list(rivals.values()))
    if rule.name == "hyperband":
        first = bracket(rule, cell)
        same = [runs for name, runs in rivals.items() if bracket(rule, name) == first]
        return _halved(rule, first, own, siblings, same)
    return None


def rungs(first: float, factor: int, epochs: float) -> list[float]:
    """After how many epochs runs are compared: `first`, then `factor` times as many each, up to `epochs / factor`.

    A later one would save little, and end runs that are better judged by their final figure.
    """
    found, at = [], first
    while at * factor < epochs + _SLACK or (at == first and at < epochs - _SLACK):
        found.append(at)
        at *= factor
    return found


def budgets(rule: Rule) -> list[float | None]:
    """The rounds of a sweep: how far its runs may go in each; None is to their end."""
    return [*rungs(rule.first, rule.factor, rule.epochs), None] if rule.name == "halving" else [None]


def bracket(rule: Rule, cell: str) -> float:
    """The first rung of this cell under hyperband: early ones for more of the cells, as their brackets are larger."""
    firsts = rungs(rule.first, rule.factor, rule.epochs)
    if not firsts:
        return rule.first
    weights = [rule.factor ** (len(firsts) - 1 - place) / (len(firsts) - place) for place in range(len(firsts))]
    drawn = int.from_bytes(hashlib.sha256(cell.encode()).digest()[:6]) / 2**48 * sum(weights)
    for at, weight in zip(firsts, weights, strict=True):
        drawn -= weight
        if drawn < 0:
            return at
    return firsts[-1]


def _halved(
    rule: Rule, first: float, own: Gains, siblings: Sequence[Gains], rivals: Sequence[Sequence[Gains]]
) -> str | None:
    """One cell in `factor` of those that have come to the rung goes on; the first to come always does.

    A run is judged as it comes to a rung, and not again before the next one.
    """
    rung = max((at for at in rungs(first, rule.factor, rule.epochs) if at <= max(own) + _SLACK), default=None)
    if rung is None or any(rung - _SLACK <= at < max(own) for at in own):
        return None
    gain = _mean(_at_rung(gains, rung) for gains in (own, *siblings))
    theirs = [value for runs in rivals if (value := _mean(_at_rung(gains, rung) for gains in runs)) is not None]
    if gain is None:
        return None
    better, count = sum(value > gain for value in theirs), len(theirs) + 1
    kept = max(1, count // rule.factor)
    if better < kept:
        return None
    return f"number {better + 1} of the {count} that have come to {rung:g} epochs, of which {kept} may go on"


def _median(rule: Rule, own: Sequence[Gains], rivals: Sequence[Sequence[Gains]], now: float) -> str | None:
    if now < rule.first - _SLACK:
        return None
    best = _mean(max(values) for gains in own if (values := _until(gains, now)))
    averages = [value for runs in rivals if (value := _mean(_mean(_until(gains, now)) for gains in runs)) is not None]
    if best is None or len(averages) < rule.least or best >= statistics.median(averages):
        return None
    return f"its best so far is worse than the median of {len(averages)} others after {now:g} epochs"


def _at_rung(gains: Gains, rung: float) -> float | None:
    """The first report at or after the rung."""
    at = min((at for at in gains if at >= rung - _SLACK), default=None)
    return None if at is None else gains[at]


def _until(gains: Gains, now: float) -> list[float]:
    """What was reported until `now`, by a run that has come as far."""
    if not gains or max(gains) < now - _SLACK:
        return []
    return [value for at, value in gains.items() if at <= now + _SLACK]


def _mean(values: Iterable[float | None]) -> float | None:
    """Of those that are there."""
    there = [value for value in values if value is not None]
    return statistics.fmean(there) if there else None


def _patience(rule: Rule, own: Gains) -> str | None:
    now, best, since = max(own), -float("inf"), 0.0
    for at in sorted(own):
        if own[at] > best + rule.min_delta:
            best, since = own[at], at
    if now < rule.first - _SLACK or now - since < rule.patience - _SLACK:
        return None
    return f"no better for {now - since:g} epochs"
