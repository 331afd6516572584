"""Every pruner, ours and Optuna's, over the same curves, and the baselines that need none. Never imports torch."""

import random
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import optuna

from benchmarks.search_study.curves import Array, Task
from benchmarks.search_study.replay import Curves, Promoting, Replay, replay
from sweeps.pruners import (
    Comparison,
    HalvingPruner,
    HyperbandPruner,
    MedianPruner,
    PatientPruner,
    Pruner,
    SuccessiveHalvingPruner,
)

NEAR = 0.005  # half a point of accuracy, or as much of a loss
WORKERS = (1, 2, 8)
SLOW = "Optuna Wilcoxon"  # its tests take seconds for each replay
_SCALE = 100  # Optuna's steps are whole numbers


class TopPruner(Pruner):
    """All runs for one step, then the best `kept` of them to completion."""

    def __init__(self, kept: int) -> None:
        self.kept = kept

    def rounds(self, max_steps: float | None) -> list[float]:
        return [1.0]

    def prune(self, comparison: Comparison) -> str | None:
        (value,) = comparison.own.values()
        better = sum(other > value for (values,) in comparison.rivals.values() for other in values.values())
        return None if better < self.kept else f"rank {better + 1}"


class OptunaPruner(Pruner):
    """A pruner of Optuna's, asked as Optuna asks it: a trial reports, and learns whether to stop."""

    def __init__(self, pruner: optuna.pruners.BasePruner) -> None:
        # Hyperband draws its brackets from the name of the study
        sampler = optuna.samplers.RandomSampler(seed=0)
        self._study = optuna.create_study(study_name="0", direction="maximize", pruner=pruner, sampler=sampler)
        self._running: dict[str, optuna.Trial] = {}

    def prune(self, comparison: Comparison) -> str | None:
        last = comparison.max_steps or 0.0
        for setting in list(self._running):  # nobody asks about a last report
            if setting != comparison.setting and (value := comparison.rivals[setting][0].get(last)) is not None:
                trial = self._running.pop(setting)
                trial.report(value, round(_SCALE * last))
                self._study.tell(trial, value)
        if comparison.setting not in self._running:
            self._running[comparison.setting] = self._study.ask()
        trial = self._running[comparison.setting]
        step = max(comparison.own)
        trial.report(comparison.own[step], round(_SCALE * step))
        if not trial.should_prune():
            return None
        del self._running[comparison.setting]
        self._study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        return "pruned by Optuna"


def methods(max_steps: float) -> Mapping[str, Callable[[], Pruner]]:
    """A new pruner of each kind with its defaults; the factor of Optuna's is 3, as that of ours."""
    of = optuna.pruners
    rungs: dict[str, Any] = {"min_resource": _SCALE, "reduction_factor": 3}
    return {
        "none": Pruner,
        "one step, best 1": lambda: TopPruner(1),
        "one step, best 3": lambda: TopPruner(3),
        "one step, best 10": lambda: TopPruner(10),
        "halving": HalvingPruner,
        "halving from step 1": lambda: HalvingPruner(min_resource=1),
        "asha": SuccessiveHalvingPruner,
        "asha from step 1": lambda: SuccessiveHalvingPruner(min_resource=1),
        "asha, promoting": Promoting,
        "PASHA": lambda: Promoting(progressive=True),
        "hyperband": HyperbandPruner,
        "hyperband from step 1": lambda: HyperbandPruner(min_resource=1),
        "median": MedianPruner,
        "patience": PatientPruner,
        "Optuna SuccessiveHalving": lambda: OptunaPruner(of.SuccessiveHalvingPruner(**rungs)),
        "Optuna Hyperband": lambda: OptunaPruner(of.HyperbandPruner(max_resource=round(_SCALE * max_steps), **rungs)),
        "Optuna Median": lambda: OptunaPruner(of.MedianPruner()),
        SLOW: lambda: OptunaPruner(of.WilcoxonPruner()),
    }


def measure(tasks: Iterable[Task], settings: int, repeats: int, slow: int = 1) -> dict[str, Any]:
    """Every method with every number of workers on `repeats` samples of each task, `SLOW` on `slow` of them."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    found: dict[str, dict[str, list[list[float]]]] = {}
    names, sizes = [], []
    for task in tasks:
        names.append(task.name)
        sizes.append(len(task.curves))
        print(task.name, flush=True)
        for repeat in range(repeats):
            seed = repeat % task.curves.shape[1]
            order = random.Random(f"{task.name} {repeat}").sample(range(sizes[-1]), min(settings, sizes[-1]))
            for name, workers, done in _replays(task, seed, order, slow=repeat < slow):
                one = found.setdefault(name, {}).setdefault(str(workers), [])
                one.append(_figures(task, seed, order, done))
    return {
        "tasks": names,
        "settings": min(settings, min(sizes)) if min(sizes) >= settings else [min(sizes), max(sizes)],
        "repeats": repeats,
        "methods": {
            name: {workers: _summary(figures) for workers, figures in by.items()} for name, by in found.items()
        },
    }


def _replays(task: Task, seed: int, order: list[int], slow: bool) -> Iterator[tuple[str, int, Replay]]:
    curves: Curves = {
        str(setting): dict(zip(task.steps, map(float, task.curves[setting, seed]), strict=True)) for setting in order
    }
    names, last = list(curves), task.steps[-1]
    paces = random.Random(f"{task.name} {seed}")  # from half to double the time
    pace = {name: 2 ** paces.uniform(-1, 1) for name in names}
    for workers in WORKERS:
        for name, make in methods(last).items():
            if name == SLOW and not slow:
                continue
            done = replay(make(), curves, names, max_steps=last, workers=workers, pace=pace)
            yield name, workers, done
            if name in ("halving", "halving from step 1"):
                few = names[: max(1, round(done.spent / last))]
                done = replay(Pruner(), curves, few, max_steps=last, workers=workers, pace=pace)
                yield f"random, steps of {name}", workers, done


def _figures(task: Task, seed: int, order: list[int], done: Replay) -> list[float]:
    """Shares of all steps: done, and done when a run near the best ended; the time; the regret, and that elsewhere."""
    final, worth, last = task.final[:, seed], task.elsewhere(seed), task.steps[-1]
    completed, spent = [(at, int(run)) for at, run in done.completed], done.spent
    if not completed:  # the one of the best last report is, then
        reports = {int(run): task.curves[int(run), seed, task.steps.index(at)] for run, at in done.reached.items()}
        chosen = max(reports, key=lambda run: reports[run])
        spent += last - done.reached[str(chosen)]
        completed = [(spent, chosen)]
    best, whole = final[order].max(), last * len(order)
    near = next((at / whole for at, run in completed if final[run] >= best - NEAR), float("inf"))
    chosen = max((run for _, run in completed), key=lambda run: final[run])
    regrets = best - final[chosen], worth[order].max() - worth[chosen]
    return [spent / whole, near, done.time / last, *map(float, regrets)]


def _summary(figures: list[list[float]]) -> dict[str, float | None]:
    spent, near, time, regret, elsewhere = map(list, zip(*figures, strict=True))
    median = statistics.median(near)
    return {
        "spent": round(statistics.fmean(spent), 4),
        "near": round(sum(one < float("inf") for one in near) / len(near), 4),
        "until_near": round(median, 4) if median < float("inf") else None,
        "time": round(statistics.fmean(time), 2),
        "regret": round(statistics.fmean(regret), 5),
        "elsewhere": round(statistics.fmean(elsewhere), 5),
        "error": round(statistics.stdev(elsewhere) / len(elsewhere) ** 0.5, 5) if len(elsewhere) > 1 else 0.0,
    }


def seeds(tables: Iterable[tuple[str, Array]], draws: int, settings: int = 27) -> dict[str, Any]:
    """What a choice by one seed, or by two, is worth on the seeds it was not made by: no curves, no pruner."""
    found: dict[str, dict[str, list[float]]] = {}
    rng = np.random.default_rng(0)
    for name, table in tables:
        for _ in range(draws):
            values = table[rng.choice(len(table), settings, replace=False)][:, rng.permutation(table.shape[1])]
            once, twice, held_out = values[:, 0], values[:, :2].mean(axis=1), values[:, 2:].mean(axis=1)
            best = np.argsort(-once)[:3]
            chosen = {
                f"{settings} settings, one seed": (int(best[0]), once),
                f"{settings // 2} settings, two seeds": (int(np.argmax(twice[: settings // 2])), twice),
                f"{settings} settings, a second seed for the best 3": (int(best[np.argmax(twice[best])]), twice),
            }
            of = found.setdefault(name.split()[0], {})
            for way, (one, figures) in chosen.items():
                of.setdefault(way, []).append(float(held_out.max() - held_out[one]))
                of.setdefault(f"{way}: lead", []).append(float(figures[one] - held_out[one]))
    return {
        "draws": draws,
        "regrets": {
            name: {way: round(statistics.fmean(of), 5) for way, of in by.items()} for name, by in found.items()
        },
    }
