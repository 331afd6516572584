"""What a sweep gains from running cells side by side, and what the orchestration of a cell costs.

This module never imports torch: every measurement is a real command in a process of its own.
"""

import contextlib
import itertools
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.text import Text

from benchmarks.bench.report import format_spread, spread
from sweeps.errors import RunFailed
from sweeps.launchers.local.slots import available_cores
from sweeps.record.records import find_runs

CELLS = 8
_TINY = ["dataset=fashion_mnist_mini", "dataset.limit=100", "dataset.test_limit=100", "trainer.batch_size=50"]
_FEW, _MANY, _VERY_MANY = 4, 24, 304  # cells: the difference of two sweeps leaves out what every sweep costs once
_LOOK = 0.1  # seconds between two looks at a process


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
    parent = _measure_parent(variants["side by side"], cores, quick=quick)
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
                "parent": parent,
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
        *_parent_lines(sweeps["parent"]),
        f"load average before: {sweeps['load'][0]:.1f} to {sweeps['load'][1]:.1f}",
    ]
    for line in lines:
        console.print(Text(line), soft_wrap=True)


def _sweep(cells: int, overrides: Sequence[str]) -> tuple[float, float]:
    """Seconds of a whole sweep of so many seeds, and the sum of its runs' own seconds."""
    command = _command(cells, overrides)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        seconds = time.perf_counter() - began
        records = (
            [run.read() for run in itertools.islice(find_runs(Path(folder)), cells)] if not done.returncode else []
        )
    if len(records) != cells:
        raise RunFailed(f"{' '.join(command)} ended with code {done.returncode}:\n{done.stderr.strip()}")
    return seconds, sum(record.seconds for record in records)


def _command(cells: int, overrides: Sequence[str]) -> list[str]:
    seeds = f"seed=range({cells})"
    return [sys.executable, "-m", "sweeps", "-m", "model=lenet_bn", seeds, "sweep=bench", "tracker=none", *overrides]


def _parent_lines(parent: Mapping[str, float]) -> list[str]:
    if not parent:
        return ["the process that runs the sweep was not looked at: that needs /proc, on Linux"]
    return [
        f"the process that runs the sweep: {parent['memory']:,.0f} MiB, {parent['memory_per_1000_cells']:,.0f} MiB "
        f"more for 1,000 cells, {parent['seconds_per_cell'] * 1e3:,.0f} ms of processor time a cell, "
        f"{parent['idle_share']:.1%} of one core while its workers train"
    ]


def _measure_parent(side_by_side: Sequence[str], cores: int, *, quick: bool) -> dict[str, float]:
    """What the process that runs a sweep needs, apart from its workers; nothing where there is no /proc."""
    if not Path("/proc/self/stat").exists():
        return {}
    many = _MANY if quick else _VERY_MANY
    tiny = [*_TINY, "trainer.epochs=1", *side_by_side]
    small, large = (_watched(count, tiny) for count in (_FEW, many))
    training = _watched(cores, ["trainer.epochs=4", *side_by_side, *(_TINY if quick else [])])
    begin, end = (training[int(part * (len(training) - 1))] for part in (0.5, 0.8))  # workers have long begun by then
    more = many - _FEW
    # while cells are done one after another; at the end stands the summary, whose statistics need memory of their own
    early, late = (large[int(part * (len(large) - 1))] for part in (0.4, 0.9))
    seconds = (large[-1].at - small[-1].at) / more
    return {
        "memory": late.memory,
        "memory_per_1000_cells": (late.memory - early.memory) / (late.at - early.at) * seconds * 1000,
        "seconds_per_cell": (large[-1].processor - small[-1].processor) / more,
        "idle_share": (end.processor - begin.processor) / max(end.at - begin.at, _LOOK),
    }


class _Look(NamedTuple):
    """A process so many seconds after its start: its processor seconds until then and its memory in MiB."""

    at: float
    processor: float
    memory: float


def _watched(cells: int, overrides: Sequence[str]) -> list[_Look]:
    """What the parent of a sweep of so many seeds has used, every `_LOOK` seconds."""
    looks: list[_Look] = []
    ticks = os.sysconf("SC_CLK_TCK")
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        with subprocess.Popen(
            _command(cells, overrides), cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            place = Path("/proc") / str(process.pid)
            try:
                while process.poll() is None:
                    with contextlib.suppress(OSError, IndexError):  # it ended between two looks
                        used = (place / "stat").read_text().rpartition(")")[2].split()[11:13]
                        memory = re.findall(r"VmRSS:\s+(\d+) kB", (place / "status").read_text())[0]
                        seconds = sum(map(int, used)) / ticks
                        looks.append(_Look(time.perf_counter() - began, seconds, int(memory) / 1024))
                    time.sleep(_LOOK)
            except BaseException:
                process.terminate()
                raise
    if process.returncode:
        raise RunFailed(f"{' '.join(_command(cells, overrides))} ended with code {process.returncode}")
    return looks
