"""What a sweep gains from runs side by side, and what the command line costs.

This module never imports torch: every measurement is a real command in a process of its own.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.bench.report import say
from benchmarks.common import format_spread, python, spread
from sweeps.errors import ConfigError
from sweeps.launchers.local.slots import available_cores

RUNS = 8
_TINY = ["dataset=fashion_mnist_mini", "dataset.limit=100", "dataset.test_limit=100", "trainer.batch_size=50"]

# A process starts with the peak of the one that started it, so a small one stands in between.
_PEAK_OF_CHILD = """\
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes


def measure_startup(*, starts: int, quick: bool) -> dict[str, Any]:
    """Peak memory of one run of one epoch, in a process of its own, and the times of `starts` calls for help.

    Raises:
        ConfigError: this system does not report a process's memory.
        RunFailed: one of the commands failed.
    """
    if os.name == "nt":
        raise ConfigError("--memory is invalid here: Windows does not report the peak memory of a finished process")
    training = ["-m", "sweeps", *(["experiment=smoke"] if quick else ["model=lenet_bn", "trainer.epochs=1"])]
    asking = ["-m", "sweeps", "--help"]
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        python(asking, Path(folder))  # bytecode is written and files are cached
        for _ in range(starts):
            began = time.perf_counter()
            python(asking, Path(folder))
            seconds.append(time.perf_counter() - began)
        peak = int(python(["-c", _PEAK_OF_CHILD, sys.executable, *training], Path(folder))) * _MAXRSS_UNIT
    return {
        "run_command": " ".join(["python", *training]),
        "peak_rss_bytes": peak,
        "help_command": " ".join(["python", *asking]),
        "help_seconds": {**spread(seconds), "all": seconds},
    }


def measure_sweeps(*, rounds: int, quick: bool, keep: Callable[[dict[str, Any]], None]) -> None:
    """Time the same runs one after another with all threads, and side by side with one each, in turns.

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
    runs = 2 if quick else RUNS
    times: dict[str, list[float]] = {name: [] for name in variants}
    loads: list[float] = []
    for number in range(rounds):
        for name in list(variants)[:: -1 if number % 2 else 1]:
            loads.append(os.getloadavg()[0])
            times[name].append(_sweep(runs, [*work, *variants[name]]))
        ratios = [one / beside for one, beside in zip(*times.values(), strict=True)]
        keep(
            {
                "runs": runs,
                "cores": cores,
                "seconds": {name: {**spread(values), "all": list(values)} for name, values in times.items()},
                "ratio": spread(ratios),
                "load": [min(loads), max(loads)],
            }
        )


def print_startup(console: Console, startup: Mapping[str, Any]) -> None:
    """Memory and start-up time of the command line."""
    say(
        console,
        f"{startup['run_command']}: {startup['peak_rss_bytes'] / 1e9:.2f} GB at its peak",
        f"{startup['help_command']}: {format_spread(startup['help_seconds'])} s",
    )


def print_sweeps(console: Console, sweeps: Mapping[str, Any]) -> None:
    """The figures in words."""
    say(
        console,
        f"{sweeps['runs']} runs of lenet_bn, 2 epochs each, on {sweeps['cores']} cores, start and end included:",
        *(f"  {name}: {format_spread(values)} s" for name, values in sweeps["seconds"].items()),
        f"  one after another / side by side: {format_spread(sweeps['ratio'])}",
        f"load average before: {sweeps['load'][0]:.1f} to {sweeps['load'][1]:.1f}",
    )


def _sweep(runs: int, overrides: Sequence[str]) -> float:
    """Seconds of a whole sweep of so many seeds."""
    common = ["model=lenet_bn", f"seed=range({runs})", "sweep.name=bench", "sweep/tracker=none"]
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        python(["-m", "sweeps", "-m", *common, *overrides], Path(folder))
        return time.perf_counter() - began
