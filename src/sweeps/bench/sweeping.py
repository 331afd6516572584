"""What a sweep gains from running cells side by side, and what the orchestration of a cell costs.

This module never imports torch: every measurement is a real command in a process of its own.
"""

import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from sweeps.bench.report import format_spread, spread
from sweeps.errors import RunFailed
from sweeps.launching.slots import available_cores
from sweeps.records import find_runs

CELLS = 8
_TINY = ["dataset=fashion_mnist_mini", "dataset.limit=100", "dataset.test_limit=100", "trainer.batch_size=50"]
_FEW, _MANY = 4, 24  # cells: the difference of two sweeps leaves out what every sweep costs once


def measure_sweeps(*, rounds: int, quick: bool, keep: Callable[[dict[str, Any]], None]) -> None:
    """Time the same cells one after another with all threads, and side by side with one each, in turns.

    `keep` gets the figures after every round.

    Raises:
        RunFailed: one of the sweeps failed.
    """
    cores = available_cores()
    variants = {
        "one after another": ["hydra.launcher.workers=1", f"hydra.launcher.threads={cores}"],
        "side by side": [f"hydra.launcher.workers={cores}", "hydra.launcher.threads=1"],
    }
    work = ["trainer.epochs=2", *(_TINY if quick else [])]
    cells = 2 if quick else CELLS
    times: dict[str, list[float]] = {name: [] for name in variants}
    loads: list[float] = []
    per_cell: list[float] = []
    for number in range(rounds):
        names = list(variants)[:: -1 if number % 2 else 1]
        for name in names:
            loads.append(os.getloadavg()[0])
            times[name].append(_sweep(cells, [*work, *variants[name]])[0])
        (few, few_trained), (many, many_trained) = (
            _sweep(count, [*_TINY, "trainer.epochs=1", *variants["one after another"]]) for count in (_FEW, _MANY)
        )
        per_cell.append((many - few - (many_trained - few_trained)) / (_MANY - _FEW))
        ratios = [one / beside for one, beside in zip(*times.values(), strict=True)]
        keep(
            {
                "cells": cells,
                "cores": cores,
                "seconds": {name: {**spread(values), "all": list(values)} for name, values in times.items()},
                "ratio": spread(ratios),
                "seconds_per_warm_cell": {**spread(per_cell), "all": list(per_cell)},
                "load": [min(loads), max(loads)],
            }
        )


def print_sweeps(console: Console, sweeps: Mapping[str, Any]) -> None:
    """The figures in words."""
    lines = [f"{sweeps['cells']} lenet_bn cells, 2 epochs each, on {sweeps['cores']} cores, start and end included:"]
    lines += [f"  {name}: {format_spread(values)} s" for name, values in sweeps["seconds"].items()]
    lines += [
        f"  one after another / side by side: {format_spread(sweeps['ratio'])}",
        f"a further warm cell costs {format_spread(sweeps['seconds_per_warm_cell'])} s beyond its training",
        f"load average before: {sweeps['load'][0]:.1f} to {sweeps['load'][1]:.1f}",
    ]
    for line in lines:
        console.print(Text(line), soft_wrap=True)


def _sweep(cells: int, overrides: Sequence[str]) -> tuple[float, float]:
    """Seconds of a whole sweep of so many seeds, and the sum of its runs' own seconds."""
    seeds = ",".join(str(seed) for seed in range(cells))
    command = [sys.executable, "-m", "sweeps", "-m", "model=lenet_bn", f"seed={seeds}", "sweep=bench", "tracker=none"]
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        done = subprocess.run([*command, *overrides], cwd=folder, capture_output=True, text=True)
        seconds = time.perf_counter() - began
        records = (
            [run.read() for run in itertools.islice(find_runs(Path(folder)), cells)] if not done.returncode else []
        )
    if len(records) != cells:
        raise RunFailed(f"{' '.join([*command, *overrides])} ended with code {done.returncode}:\n{done.stderr.strip()}")
    return seconds, sum(record.seconds for record in records)
