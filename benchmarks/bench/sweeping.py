"""What a sweep gains from runs side by side, what the orchestration of a run costs, and what the command line costs.

This module never imports torch: every measurement is a real command in a process of its own.
"""

import contextlib
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

from benchmarks.bench.report import say
from benchmarks.common import environment, format_spread, python, spread
from sweeps.errors import ConfigError, RunFailed
from sweeps.launchers.local.slots import available_cores
from sweeps.record.records import find_runs

RUNS = 8
_TINY = ["dataset=fashion_mnist_mini", "dataset.limit=100", "dataset.test_limit=100", "trainer.batch_size=50"]
_FEW, _MANY, _VERY_MANY = 4, 24, 304  # runs: the difference of two sweeps leaves out what every sweep costs once
_LOOK = 0.1  # seconds between two looks at a process

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
    sweeps = ["-m", "sweeps"]
    training = [*sweeps, "experiment=smoke"] if quick else [*sweeps, "model=lenet_bn", "trainer.epochs=1"]
    asking = [*sweeps, "--help"]
    _output(asking)  # bytecode is written and files are cached
    seconds = []
    for _ in range(starts):
        began = time.perf_counter()
        _output(asking)
        seconds.append(time.perf_counter() - began)
    return {
        "run_command": " ".join(["python", *training]),
        "peak_rss_bytes": int(_output(["-c", _PEAK_OF_CHILD, sys.executable, *training])) * _MAXRSS_UNIT,
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
    per_run: list[float] = []
    parent = _measure_parent(variants["side by side"], cores, quick=quick)
    for number in range(rounds):
        for name in list(variants)[:: -1 if number % 2 else 1]:
            loads.append(os.getloadavg()[0])
            times[name].append(_sweep(runs, [*work, *variants[name]])[0])
        (few, few_trained), (many, many_trained) = (
            _sweep(count, [*_TINY, "trainer.epochs=1", *variants["one after another"]]) for count in (_FEW, _MANY)
        )
        per_run.append((many - few - (many_trained - few_trained)) / (_MANY - _FEW))
        ratios = [one / beside for one, beside in zip(*times.values(), strict=True)]
        keep(
            {
                "runs": runs,
                "cores": cores,
                "seconds": {name: {**spread(values), "all": list(values)} for name, values in times.items()},
                "ratio": spread(ratios),
                "seconds_per_warm_run": {**spread(per_run), "all": list(per_run)},
                "parent": parent,
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
    parent = sweeps["parent"]
    say(
        console,
        f"{sweeps['runs']} runs of lenet_bn, 2 epochs each, on {sweeps['cores']} cores, start and end included:",
        *(f"  {name}: {format_spread(values)} s" for name, values in sweeps["seconds"].items()),
        f"  one after another / side by side: {format_spread(sweeps['ratio'])}",
        f"a further run in a warm worker costs {format_spread(sweeps['seconds_per_warm_run'])} s beyond its training",
        f"the process that runs the sweep: {parent['memory']:,.0f} MiB, {parent['memory_per_1000_runs']:,.0f} MiB "
        f"more for 1,000 runs, {parent['seconds_per_run'] * 1e3:,.0f} ms of processor time a run, "
        f"{parent['idle_share']:.1%} of one core while its workers train"
        if parent
        else "the process that runs the sweep was not measured: that needs /proc, on Linux",
        f"load average before: {sweeps['load'][0]:.1f} to {sweeps['load'][1]:.1f}",
    )


def _output(arguments: Sequence[str]) -> str:
    with tempfile.TemporaryDirectory() as folder:
        done = python(arguments, Path(folder))
    if done.returncode:
        raise RunFailed(f"python {' '.join(arguments)} ended with code {done.returncode}:\n{done.stderr.strip()}")
    return done.stdout


def _sweep(runs: int, overrides: Sequence[str]) -> tuple[float, float]:
    """Seconds of a whole sweep of so many seeds, and the sum of its runs' own seconds."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        done = python(_arguments(runs, overrides), Path(folder))
        seconds = time.perf_counter() - began
        records = [] if done.returncode else [run.read() for run in find_runs(Path(folder))]
    if len(records) != runs:
        raise RunFailed(f"a sweep of {runs} runs ended with code {done.returncode}:\n{done.stderr.strip()}")
    return seconds, sum(record.seconds for record in records)


def _arguments(runs: int, overrides: Sequence[str]) -> list[str]:
    common = ["model=lenet_bn", f"seed=range({runs})", "sweep.name=bench", "sweep/tracker=none"]
    return ["-m", "sweeps", "-m", *common, *overrides]


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
    # while runs are done one after another; at the end is the summary, whose statistics need memory of their own
    early, late = (large[int(part * (len(large) - 1))] for part in (0.4, 0.9))
    seconds = (large[-1].at - small[-1].at) / more
    return {
        "memory": late.memory,
        "memory_per_1000_runs": (late.memory - early.memory) / (late.at - early.at) * seconds * 1000,
        "seconds_per_run": (large[-1].processor - small[-1].processor) / more,
        "idle_share": (end.processor - begin.processor) / max(end.at - begin.at, _LOOK),
    }


class _Look(NamedTuple):
    """A process so many seconds after its start: its processor seconds until then and its memory in MiB."""

    at: float
    processor: float
    memory: float


def _watched(runs: int, overrides: Sequence[str]) -> list[_Look]:
    """What the parent of a sweep of so many seeds has used, every `_LOOK` seconds."""
    looks: list[_Look] = []
    quiet, ticks = subprocess.DEVNULL, os.sysconf("SC_CLK_TCK")
    command = [sys.executable, *_arguments(runs, overrides)]
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        with subprocess.Popen(command, cwd=folder, env=environment(), stdout=quiet, stderr=quiet) as process:
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
        raise RunFailed(f"{' '.join(command)} ended with code {process.returncode}")
    return looks
