"""Pruners on the curves of a grid that was trained in full. Never imports torch.

A run's figures do not depend on what stops it: a pruned run is, bit for bit, the beginning of the whole one. So a grid
that was trained to completion, with a report every quarter epoch, shows which runs each pruner would have stopped.
"""

import heapq
import math
from collections.abc import Mapping, Sequence

from sweeps.pruners import Comparison, Pruner

Curves = Mapping[str, Mapping[float, float]]  # setting -> epochs done -> figure, more being better


def replay(
    pruner: Pruner, curves: Curves, order: Sequence[str], *, max_steps: float, workers: int = 2
) -> tuple[dict[str, float], float]:
    """How far each run gets, and the epochs trained in all; `workers` at a time in this order, all equally fast.

    Halving within epochs trains the unfinished epoch of a survivor again, which counts.
    """
    rounds = pruner.rounds(max_steps)
    if rounds:
        return _in_rounds(pruner, [*rounds, max_steps], curves, order)
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
        time, place, run, number = heapq.heappop(events)
        step = steps[run][number]
        seen.setdefault(run, {})[step] = curves[run][step]
        if number + 1 == len(steps[run]) or _is_pruned(pruner, run, seen, max_steps):
            begin(time)
        else:
            heapq.heappush(events, (time + steps[run][number + 1] - step, place, run, number + 1))
    reached = {run: max(values) for run, values in seen.items()}
    return reached, sum(reached.values())


def _in_rounds(
    pruner: Pruner, rounds: Sequence[float], curves: Curves, order: Sequence[str]
) -> tuple[dict[str, float], float]:
    reached = dict.fromkeys(order, 0.0)
    spent = 0.0
    alive = list(order)
    for limit in rounds:
        seen = {run: {at: value for at, value in curves[run].items() if at <= reached[run]} for run in order}
        alive = [run for run in alive if not _is_pruned(pruner, run, seen, rounds[-1])]
        for run in alive:
            until = min((at for at in curves[run] if at >= limit - 1e-6), default=max(curves[run]))
            spent += until - math.floor(reached[run])
            reached[run] = until
    return reached, spent


def _is_pruned(pruner: Pruner, run: str, seen: Curves, max_steps: float) -> bool:
    own = seen[run]
    if not own or max(own) >= max_steps:
        return False
    rivals = {name: [values] for name, values in seen.items() if name != run}
    return pruner.prune(Comparison(own, (), rivals, run, max_steps)) is not None
