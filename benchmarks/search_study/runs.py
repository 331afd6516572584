"""The sweeps behind the figures, each resumable, and what their records say. Never imports torch."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.search_study.replay import replay
from sweeps.pruners import Board, Rule
from sweeps.record.identity import cell_id, run_id
from sweeps.record.records import RunRecord, Status, find_runs

EPOCHS, WORKERS = 10, 2
BASE = (
    "model=lenet_bn", "dataset.limit=10000", "trainer.drop_last=true", "trainer.bn_reestimate=20",
    "objective.metric=test_bn_acc", "tracker=none", "trainer.save_weights=false", "trainer.save_predictions=false",
    "device=cpu", f"hydra.launcher.workers={WORKERS}",
)  # fmt: skip
CELLS = ("optim.lr=0.1,0.3,1", "trainer.batch_size=64,128,256", "optim.momentum=0,0.5,0.9")
# trained in full; patience never runs out, so that every quarter is reported and nobody is stopped
FULL = ("pruner=patience", "pruner.patience=1000", "pruner.report_every=0.25", "pruner.first=0.25")
RULES = {
    "asha": Rule("asha", EPOCHS),
    "hyperband": Rule("hyperband", EPOCHS),
    "halving": Rule("halving", EPOCHS),
    "asha, quarters": Rule("asha", EPOCHS, first=0.25),
    "halving, quarters": Rule("halving", EPOCHS, first=0.25),
}


def sweep(output: Path, name: str, *arguments: str) -> None:
    """One sweep; repeating it goes on where it was."""
    command = [sys.executable, "-m", "sweeps", "-m", f"output={output}", f"sweep={name}", *arguments]
    subprocess.run(command, check=True)


def records(output: Path, name: str) -> list[RunRecord]:
    """The records of one sweep; none where it was not begun."""
    folder = output / name
    return [run.read() for run in find_runs(folder)] if folder.is_dir() else []


def grid(output: Path, seeds: int) -> dict[str, Any]:
    """27 cells in full for each seed, and what every pruner would have made of them."""
    values: dict[str, list[float]] = {}  # cell -> the figure of each seed
    rules: dict[str, list[dict[str, Any]]] = {}
    for seed in range(seeds):
        sweep(output, f"grid-{seed}", *BASE, f"trainer.epochs={EPOCHS}", *CELLS, *FULL, f"seed={seed}")
        cells = {_cell_of(run.read().config): run for run in find_runs(output / f"grid-{seed}")}
        for cell, run in cells.items():
            values.setdefault(cell, []).append(run.read().objective.value or 0.0)
        reports = Board(output / f"grid-{seed}").read("train_loss")
        quarters = {
            cell: {at: -loss for at, loss in reports.get(cell_id(config), {}).get(run_id(config), {}).items()}
            for cell, run in cells.items()
            for config in (run.read().config,)
        }
        whole = {cell: {at: gain for at, gain in gains.items() if at % 1 == 0} for cell, gains in quarters.items()}
        for name, rule in RULES.items():
            curves = whole if rule.first >= 1 else quarters
            figures = {cell: seen[seed] for cell, seen in values.items()}
            rules.setdefault(name, []).append(_replayed(curves, figures, seed, rule))
    return {"values": values, "rules": rules, "real": _halved(output)}


def _halved(output: Path) -> dict[str, Any]:
    """The sweep of the first seed under halving, not replayed but run."""
    sweep(output, "halving-0", *BASE, f"trainer.epochs={EPOCHS}", *CELLS, "pruner=halving", "seed=0")
    runs = records(output, "halving-0")
    ended = [run for run in runs if run.status is Status.COMPLETED]
    best = max(ended, key=lambda run: run.objective.value or 0.0)
    return {"epochs": sum(run.epochs for run in runs), "found": _cell_of(best.config)}


def _replayed(
    curves: Mapping[str, Mapping[float, float]], values: Mapping[str, float], seed: int, rule: Rule
) -> dict[str, Any]:
    order = sorted(curves)
    random.Random(seed).shuffle(order)  # no order of the cells should be lucky
    reached, spent = replay(rule, curves, order, WORKERS)
    ended = [cell for cell, at in reached.items() if at >= EPOCHS]
    return {"epochs": spent, "of": EPOCHS * len(order), "found": max(ended, key=lambda cell: values[cell])}


def _cell_of(config: Mapping[str, Any]) -> str:
    optim, trainer = config["optim"], config["trainer"]
    return f"lr {optim['lr']:g}, momentum {optim['momentum']:g}, batch {trainer['batch_size']}"


def samplers(output: Path, seeds: int, trials: int) -> dict[str, list[list[float]]]:
    """tpe and random at equal budgets: the best figure after each trial, for each seed of the sampler."""
    space = ("optim.lr=tag(log, interval(1e-3, 10))", "optim.momentum=interval(0, 0.99)",
             "trainer.batch_size=tag(log, int(interval(64, 512)))")  # fmt: skip
    found: dict[str, list[list[float]]] = {}
    for sampler in ("tpe", "random"):
        for seed in range(seeds):
            name = f"{sampler}-{seed}"
            options = (
                f"hydra.sweeper.sampler={sampler}",
                f"hydra.sweeper.seed={seed}",
                f"hydra.sweeper.n_trials={trials}",
            )
            sweep(
                output, name, "hydra/sweeper=search", *BASE, "dataset.limit=5000", "trainer.epochs=3", *options, *space
            )
            done = sorted(records(output, name), key=lambda record: record.ended)
            found.setdefault(sampler, []).append(_best_so_far([record.objective.value for record in done]))
    return found


def _best_so_far(values: Sequence[float | None]) -> list[float]:
    best, found = 0.0, []
    for value in values:
        best = max(best, value or 0.0)
        found.append(best)
    return found


def kills(output: Path, times: int, trials: int) -> dict[str, Any]:
    """A search whose whole process group is killed `times` times at moments drawn by chance, then repeated."""
    command = [sys.executable, "-m", "sweeps", "-m", f"output={output}", "sweep=kills", "hydra/sweeper=search", *BASE,
               "dataset=fashion_mnist_mini", "dataset.limit=1000", "trainer.epochs=2",
               "optim.lr=tag(log, interval(1e-3, 1))", f"hydra.sweeper.n_trials={trials}"]  # fmt: skip
    rng = random.Random(0)
    for _ in range(times):
        with subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL) as process:
            time.sleep(rng.uniform(8, 20))
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    subprocess.run(command, check=True)
    return {"kills": times, "n_trials": trials, "trials": dict(Counter(trial_states(output / "kills")))}


def trial_states(folder: Path) -> list[str]:
    """The state of every trial in a search's folder."""
    from optuna import load_study
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    backend = JournalFileBackend(str(folder / "study.journal"))
    study = load_study(study_name="search", storage=JournalStorage(backend))
    return [trial.state.name for trial in study.trials]


def busy(output: Path) -> dict[str, Any]:
    """How busy two workers are with trials of which some take ten times as long."""
    # records tell whole seconds, which must be few among those of a run
    lengths = ("trainer.epochs=4,40", "optim.lr=tag(log, interval(1e-2, 1))", "hydra.sweeper.sampler=random")
    sweep(output, "busy", "hydra/sweeper=search", *BASE, "hydra.sweeper.n_trials=20", *lengths)
    spans = [
        (datetime.fromisoformat(one.started).timestamp(), datetime.fromisoformat(one.ended).timestamp())
        for one in records(output, "busy")
    ]
    # until the last trial begins: afterwards there is nothing left for the other worker
    begin, end = min(start for start, _ in spans), max(start for start, _ in spans)
    at_work = sum(min(stop, end) - start for start, stop in spans)
    return {"trials": len(spans), "share": at_work / (WORKERS * (end - begin))}


def kept(path: Path) -> dict[str, Any]:
    """What was measured so far."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found
