"""Pruners on the curves of a grid that was trained in full. Never imports torch.

A run's figures do not depend on who stops it: a pruned run is, bit for bit, the beginning of the whole one. So a grid
that was trained to its end with a report every quarter epoch tells for every pruner which runs it would have stopped.
"""

import heapq
import math
from collections.abc import Mapping, Sequence

from sweeps.pruners import Rule, budgets, judge

Curves = Mapping[str, Mapping[float, float]]  # run -> epochs done -> figure, more being better


def replay(rule: Rule, curves: Curves, order: Sequence[str], workers: int = 2) -> tuple[dict[str, float], float]:
    """How far each run comes, and the epochs trained in all; `workers` at a time in this order, all equally fast.

    Halving within epochs trains the begun epoch of a survivor again, which counts.
    """
    if rule.name == "halving":
        return _in_rounds(rule, curves, order)
    seen: dict[str, dict[float, float]] = {}
    steps = {run: sorted(curves[run]) for run in order}
    waiting = list(order)
    events: list[tuple[float, int, str, int]] = []  # time, place in the order, run, which of its reports

    def begin(time: float) -> None:
        if waiting:
            run = waiting.pop(0)
            heapq.heappush(events, (time + steps[run][0], order.index(run), run, 0))

    for _ in range(workers):
        begin(0.0)
    while events:
        time, place, run, step = heapq.heappop(events)
        at = steps[run][step]
        own = seen.setdefault(run, {})
        own[at] = curves[run][at]
        rivals = {name: [gains] for name, gains in seen.items() if name != run}
        if step + 1 == len(steps[run]) or judge(rule, own, rivals, cell=run) is not None:
            begin(time)
        else:
            heapq.heappush(events, (time + steps[run][step + 1] - at, place, run, step + 1))
    reached = {run: max(gains) for run, gains in seen.items()}
    return reached, sum(reached.values())


def _in_rounds(rule: Rule, curves: Curves, order: Sequence[str]) -> tuple[dict[str, float], float]:
    reached = dict.fromkeys(order, 0.0)
    spent = 0.0
    alive = list(order)
    for budget in budgets(rule):
        seen = {run: {at: gain for at, gain in curves[run].items() if at <= reached[run]} for run in order}
        alive = [
            run
            for run in alive
            if judge(rule, seen[run], {name: [of] for name, of in seen.items() if name != run}, cell=run) is None
        ]
        for run in alive:
            limit = rule.epochs if budget is None else budget
            until = min((at for at in curves[run] if at >= limit - 1e-6), default=max(curves[run]))
            spent += until - math.floor(reached[run])
            reached[run] = until
    return reached, spent
