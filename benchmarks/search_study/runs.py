"""The sweeps behind the figures, each resumable, and what their records say. Never imports torch."""

import random
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import accumulate
from pathlib import Path
from typing import Any

from benchmarks.common import environment
from benchmarks.search_study.replay import Curves, replay
from sweeps.pruners import HalvingPruner, HyperbandPruner, Pruner, ReportLog, SuccessiveHalvingPruner
from sweeps.record.records import RunRecord, Status, find_runs

EPOCHS, WORKERS = 10, 2
METRIC = "train_loss_recent"  # what runs are compared by on the way
BASE = (
    "model=lenet_bn", "dataset.limit=10000", "trainer.drop_last=true", "trainer.bn_reestimate=20",
    "sweep.objective.metric=test_bn_acc", "sweep/tracker=none", "trainer.save_weights=false",
    "trainer.save_predictions=false", "device=cpu", f"hydra.launcher.workers={WORKERS}",
)  # fmt: skip
SETTINGS = ("optim.lr=0.1,0.3,1", "trainer.batch_size=64,128,256", "optim.momentum=0,0.5,0.9")
# trained in full; patience never runs out, so that every quarter is reported and no run is stopped
FULL = (
    "sweep/pruner=patience",
    "sweep.pruner.patience=1000",
    f"sweep.pruner.metric={METRIC}",
    "trainer.report_every=0.25",
)
PRUNERS: Mapping[str, Pruner] = {
    "asha": SuccessiveHalvingPruner(),
    "hyperband": HyperbandPruner(),
    "halving": HalvingPruner(),
    "asha, quarters": SuccessiveHalvingPruner(min_resource=0.25),
    "halving, quarters": HalvingPruner(min_resource=0.25),
}


def command(output: Path, name: str, *arguments: str) -> list[str]:
    """The command line of a sweep; repeating it resumes the sweep."""
    sweep = ("-m", f"sweep.output={output.absolute()}", f"sweep.name={name}")
    return [sys.executable, "-m", "sweeps", *sweep, *BASE, *arguments]


def sweep(output: Path, name: str, *arguments: str) -> list[RunRecord]:
    """Do a sweep, or what is left of it; returns its records."""
    subprocess.run(command(output, name, *arguments), check=True, env=environment())
    return [run.read() for run in find_runs(output / name)]


def grid(output: Path, seeds: int) -> dict[str, Any]:
    """27 settings in full for each seed, and what every pruner would have made of them."""
    values: dict[str, list[float]] = {}  # setting -> the figure of each seed
    curves_of: dict[str, list[list[float]]] = {}  # setting -> the reports after whole epochs of each seed
    rules: dict[str, list[dict[str, Any]]] = {}
    for seed in range(seeds):
        name = f"grid-{seed}"
        runs = sweep(output, name, f"trainer.epochs={EPOCHS}", *SETTINGS, *FULL, f"seed={seed}")
        reports = ReportLog(output / name).read(METRIC)
        quarters: dict[str, dict[float, float]] = {}
        for run in runs:
            values.setdefault(_setting_of(run), []).append(run.objective.value or 0.0)
            losses = reports.get(run.setting_id, {}).get(run.run_id, {})
            quarters[_setting_of(run)] = {step: -loss for step, loss in losses.items()}
        whole = {
            setting: {step: value for step, value in of.items() if step % 1 == 0} for setting, of in quarters.items()
        }
        for setting, of in whole.items():
            curves_of.setdefault(setting, []).append([of[step] for step in sorted(of)])
        figures = {setting: of[seed] for setting, of in values.items()}
        for rule, pruner in PRUNERS.items():
            curves = quarters if rule.endswith("quarters") else whole
            rules.setdefault(rule, []).append(_replayed(pruner, curves, figures, seed))
        rules.setdefault("random, epochs of halving", []).append(few(figures, seed, rules["halving"][-1]["epochs"]))
    # the sweep of the first seed under halving, not replayed but run
    pruning = ("sweep/pruner=halving", f"sweep.pruner.metric={METRIC}")
    runs = sweep(output, "halving-0", f"trainer.epochs={EPOCHS}", *SETTINGS, *pruning, "seed=0")
    completed = [run for run in runs if run.status is Status.COMPLETED]
    best = max(completed, key=lambda run: run.objective.value or 0.0)
    real = {"epochs": sum(int(run.steps or 0) for run in runs), "found": _setting_of(best)}
    return {"values": values, "curves": curves_of, "rules": rules, "real": real}


def few(figures: Mapping[str, float], seed: int, epochs: float) -> dict[str, Any]:
    """So many epochs spent on settings of the same random order, each trained in full."""
    order = sorted(figures)
    random.Random(seed).shuffle(order)
    some = order[: round(epochs / EPOCHS)]
    return {"epochs": EPOCHS * len(some), "of": EPOCHS * len(order), "found": max(some, key=figures.__getitem__)}


def _replayed(pruner: Pruner, curves: Curves, figures: Mapping[str, float], seed: int) -> dict[str, Any]:
    order = sorted(curves)
    random.Random(seed).shuffle(order)  # no order of the settings should be lucky
    done = replay(pruner, curves, order, max_steps=EPOCHS, workers=WORKERS)
    found = max((setting for _, setting in done.completed), key=lambda setting: figures[setting])
    return {"epochs": done.spent, "of": EPOCHS * len(order), "found": found}


def _setting_of(run: RunRecord) -> str:
    optim, trainer = run.config["optim"], run.config["trainer"]
    return f"lr {optim['lr']:g}, momentum {optim['momentum']:g}, batch {trainer['batch_size']}"


def samplers(output: Path, seeds: int, trials: int) -> dict[str, list[list[float]]]:
    """tpe and random at equal budgets: the best figure after each trial, for each seed of the sampler."""
    space = ("optim.lr=tag(log, interval(1e-3, 10))", "optim.momentum=interval(0, 0.99)",
             "trainer.batch_size=tag(log, int(interval(64, 512)))")  # fmt: skip
    found: dict[str, list[list[float]]] = {}
    for sampler in ("tpe", "random"):
        options = ("hydra/sweeper=search", f"hydra.sweeper.sampler={sampler}", f"hydra.sweeper.n_trials={trials}")
        for seed in range(seeds):
            work = ("dataset.limit=5000", "trainer.epochs=3", f"hydra.sweeper.seed={seed}")
            runs = sweep(output, f"{sampler}-{seed}", *options, *work, *space)
            values = [run.objective.value or 0.0 for run in sorted(runs, key=lambda run: run.ended)]
            found.setdefault(sampler, []).append(list(accumulate(values, max)))
    return found


def busy(output: Path) -> dict[str, Any]:
    """How busy two workers are with trials of which some take ten times as long."""
    # records hold whole seconds, which must be few among those of a run
    lengths = ("trainer.epochs=4,40", "optim.lr=tag(log, interval(1e-2, 1))", "hydra.sweeper.sampler=random")
    runs = sweep(output, "busy", "hydra/sweeper=search", "hydra.sweeper.n_trials=20", *lengths)
    spans = [_span(run) for run in runs]
    # until the last trial begins: afterwards there is nothing left for the other worker
    begin, end = min(start for start, _ in spans), max(start for start, _ in spans)
    at_work = sum(min(stop, end) - start for start, stop in spans)
    return {"trials": len(spans), "share": at_work / (WORKERS * (end - begin))}


def _span(run: RunRecord) -> Sequence[float]:
    return [datetime.fromisoformat(moment).timestamp() for moment in (run.started, run.ended)]
