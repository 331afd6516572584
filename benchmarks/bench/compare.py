"""The engine's choices compared: the same two epochs with other precisions, layouts, graphs and compilers."""

import gc
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.bench.contenders import Contender, ours
from benchmarks.bench.engines import ENGINES
from benchmarks.bench.measure import Case
from benchmarks.bench.report import format_spread, spread
from sweeps.errors import ConfigError
from sweeps.progress import Progress
from sweeps.vision.devices import now, peak_memory, reset_peak_memory
from sweeps.vision.training import Totals, run_epochs


def measure_engines(case: Case, names: Sequence[str], rounds: int, console: Console) -> list[dict[str, Any]]:
    """Every engine of `names` once a round: the first epoch, with all that is prepared in it, and the second one."""
    rows = []
    for number in range(1, rounds + 1):
        for name in names:
            settings = ENGINES[name]
            try:
                row = {"round": number, "engine": name, **_two_epochs(case, settings)}
            except (ConfigError, RuntimeError) as error:  # not on this device, or not with this network
                row = {"round": number, "engine": name, "refused": str(error).partition("\n")[0][:200]}
            rows.append(row)
            told = row.get("refused") or f"{row['first_seconds']:8.2f} s, then {row['second_seconds']:.3f} s"
            console.print(f"{number}/{rounds}  {name:<15} {told}", style="dim", highlight=False)
    return rows


def print_engines(console: Console, rows: list[dict[str, Any]]) -> None:
    """A line for each engine: median [min, max] over the rounds."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("", no_wrap=True)
    for heading in ("first epoch", "second epoch", "auto / this", "memory", "train loss", "test acc"):
        table.add_column(heading, justify="right", no_wrap=True)
    second = {}
    for name in ENGINES:
        done = [row for row in rows if row["engine"] == name and "refused" not in row]
        if not done:
            continue
        first = spread([row["first_seconds"] for row in done])
        second[name] = spread([row["second_seconds"] for row in done])
        table.add_row(
            name,
            format_spread(first),
            format_spread(second[name]),
            f"{second['auto']['median'] / second[name]['median']:.2f}" if "auto" in second else "",
            f"{max(row['peak_memory'] for row in done) / 1e9:.2f} GB",
            f"{done[-1]['train_loss']:.4f}",
            f"{done[-1]['test_acc']:.4f}",
        )
    console.print(table)


def _two_epochs(case: Case, settings: Mapping[str, str]) -> dict[str, Any]:
    torch.compiler.reset()
    gc.collect()
    if case.device.type == "cuda":
        torch.cuda.empty_cache()
    reset_peak_memory(case.device)
    task = case.task(Contender(ours, settings))
    epochs = run_epochs(
        task.step,
        task.data,
        epochs=range(1, 3),
        seed=task.seed,
        evaluate_train=False,
        new_totals=lambda: Totals(task.classes, task.device),
        progress=Progress(),
    )
    times: list[float] = []
    row: dict[str, Any] = {}
    for _ in range(2):
        began = now(task.device)
        row, _ = next(epochs)
        times.append(now(task.device) - began)
    return {
        "first_seconds": times[0],
        "second_seconds": times[1],
        "train_examples_per_second": row["examples_per_second"],
        "train_loss": row["train_loss"],
        "test_acc": row["test_acc"],
        "peak_memory": peak_memory(task.device),
        "settings": task.step.engine.describe(),
    }
