"""Pruners on the curves of settings that were trained in full. Never imports torch.

A run's figures do not depend on what stops it: a pruned run is, bit for bit, the beginning of the whole one. So a grid
that was trained to completion shows which runs each pruner would have stopped, and when.
"""

import heapq
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from sweeps.pruners import Comparison, Pruner, SuccessiveHalvingPruner

Curves = Mapping[str, Mapping[float, float]]  # setting -> epochs done -> figure, more being better


class Replay(NamedTuple):
    """How far each run got, the steps of all runs, the time that took, and which runs were completed.

    Those with the steps that all runs had done by then.
    """

    reached: dict[str, float]
    spent: float
    time: float
    completed: list[tuple[float, str]]


def replay(
    pruner: Pruner,
    curves: Curves,
    order: Sequence[str],
    *,
    max_steps: float,
    workers: int = 2,
    pace: Mapping[str, float] | None = None,
) -> Replay:
    """`workers` runs at a time in this order. A step takes each run its `pace`, else 1.

    Halving within epochs trains the unfinished epoch of a survivor again, which counts.
    """
    pace = pace or dict.fromkeys(order, 1.0)
    if isinstance(pruner, Promoting):
        return _promoted(pruner, curves, order, max_steps, workers, pace)
    rounds = pruner.rounds(max_steps)
    if rounds:
        return _in_rounds(pruner, [*rounds, max_steps], curves, order, workers, pace)
    seen: dict[str, list[dict[float, float]]] = {}
    steps = {run: sorted(curves[run]) for run in order}
    waiting = iter(enumerate(order))
    events: list[tuple[float, int, str, int]] = []  # time, place in the order, run, which of its reports
    completed: list[tuple[float, str]] = []
    spent = time = 0.0

    def begin(time: float) -> None:
        for place, run in itertools.islice(waiting, 1):
            heapq.heappush(events, (time + steps[run][0] * pace[run], place, run, 0))

    for _ in range(workers):
        begin(0.0)
    while events:
        time, place, run, number = heapq.heappop(events)
        step = steps[run][number]
        spent += step - (steps[run][number - 1] if number else 0.0)
        (values,) = seen.setdefault(run, [{}])
        values[step] = curves[run][step]
        last = number + 1 == len(steps[run])
        if last:
            completed.append((spent, run))
        if last or _is_pruned(pruner, run, seen, max_steps):
            begin(time)
        else:
            heapq.heappush(events, (time + (steps[run][number + 1] - step) * pace[run], place, run, number + 1))
    return Replay({run: max(values) for run, (values,) in seen.items()}, spent, time, completed)


def _in_rounds(
    pruner: Pruner,
    rounds: Sequence[float],
    curves: Curves,
    order: Sequence[str],
    workers: int,
    pace: Mapping[str, float],
) -> Replay:
    reached = dict.fromkeys(order, 0.0)
    completed: list[tuple[float, str]] = []
    spent, free = 0.0, [0.0] * workers  # when each worker is
    alive = list(order)
    for limit in rounds:
        seen = {run: [{at: value for at, value in curves[run].items() if at <= reached[run]}] for run in order}
        alive = [run for run in alive if not _is_pruned(pruner, run, seen, rounds[-1])]
        free = [max(free)] * workers
        for run in alive:
            until = min((at for at in curves[run] if at >= limit - 1e-6), default=max(curves[run]))
            cost = until - math.floor(reached[run])
            spent += cost
            heapq.heapreplace(free, free[0] + cost * pace[run])
            reached[run] = until
            if limit == rounds[-1]:
                completed.append((spent, run))
    return Replay(reached, spent, max(free), completed)


def _is_pruned(pruner: Pruner, run: str, seen: dict[str, list[dict[float, float]]], max_steps: float) -> bool:
    (own,) = runs = seen.pop(run)  # what is left are its rivals
    try:
        if not own or max(own) >= max_steps:
            return False
        return pruner.prune(Comparison(own, (), seen, run, max_steps)) is not None
    finally:
        seen[run] = runs


class Promoting(SuccessiveHalvingPruner):
    """asha as its paper has it: every run is paused at its rung, and a free worker resumes the best that may go on.

    Li et al. 2020, algorithm 2. With `progressive` PASHA (Bohdal et al. 2023): a further rung is opened only when the
    order of the settings at the last two differs by more than `slack`; at the end the best one is completed.
    """

    def __init__(self, *, progressive: bool = False, slack: float = 0.025) -> None:
        super().__init__()
        self.progressive, self.slack, self.factor = progressive, slack, 3


def _promoted(
    pruner: Promoting, curves: Curves, order: Sequence[str], max_steps: float, workers: int, pace: Mapping[str, float]
) -> Replay:
    rungs = [*pruner.rungs(max_steps), max_steps]
    done: list[dict[str, float]] = [{} for _ in rungs]  # rung -> setting -> its figure there
    promoted: list[set[str]] = [set() for _ in rungs]
    reached = dict.fromkeys(order, 0.0)
    waiting = iter(order)
    completed: list[tuple[float, str]] = []
    spent = time = 0.0
    top = 1 if pruner.progressive else len(rungs) - 1  # the last rung that is open
    events: list[tuple[float, int, str, int, float]] = []  # time, place in the order, run, rung, where that is

    def begin(run: str, rung: int) -> None:
        until = min(at for at in curves[run] if at >= rungs[rung] - 1e-6)
        heapq.heappush(events, (time + (until - reached[run]) * pace[run], order.index(run), run, rung, until))
        if rung:
            promoted[rung - 1].add(run)

    while True:
        while len(events) < workers and (choice := _next(pruner.factor, done[:top], promoted, waiting)):
            begin(*choice)
        if not events:
            if completed:  # nothing is left to promote
                return Replay(reached, spent, time, completed)
            best = [rung for rung in done if rung][-1]
            begin(max(best, key=lambda run: best[run]), len(rungs) - 1)
        time, _, run, rung, until = heapq.heappop(events)
        spent, reached[run], done[rung][run] = spent + until - reached[run], until, curves[run][until]
        if rung == len(rungs) - 1:
            completed.append((spent, run))
        elif rung == top:
            earlier = done[top - 1]
            orders = (sorted(done[top], key=lambda run: -of[run]) for of in (earlier, done[top]))
            top += any(abs(earlier[a] - earlier[b]) > pruner.slack for a, b in zip(*orders, strict=True))


def _next(
    factor: int, done: Sequence[Mapping[str, float]], promoted: Sequence[set[str]], waiting: Iterator[str]
) -> tuple[str, int] | None:
    """The run that a free worker takes, and the rung it goes to: the highest that a run may be promoted to."""
    for rung in range(len(done) - 1, -1, -1):
        for run in sorted(done[rung], key=lambda run: -done[rung][run])[: len(done[rung]) // factor]:
            if run not in promoted[rung]:
                return run, rung + 1
    return next(((run, 0) for run in waiting), None)
