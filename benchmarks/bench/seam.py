"""What the engine costs any application: a report, a checkpoint, a run. This module never imports torch."""

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

import sweeps
from benchmarks.bench.report import say
from benchmarks.common import format_spread, python, spread

APPLICATION = Path(__file__).with_name("application.py")
MEGABYTES = 10
WORKERS = 2
_NULL_REPORTS = 100_000

# Seconds per composition of so many runs, as a launcher composes each: with Hydra's own node.
_COMPOSE = """\
import sys, time
from hydra import compose, initialize_config_dir
count = int(sys.argv[2])
with initialize_config_dir(sys.argv[1], version_base="1.3"):
    compose("application", return_hydra_config=True)
    began = time.perf_counter()
    for x in range(count):
        compose("application", overrides=[f"x={x}"], return_hydra_config=True)
    print((time.perf_counter() - began) / count)
"""

# What is promised: (key, factor to the unit, unit, limit, in words).
GOALS = (
    ("null_report", 1e6, "us", 2.0, "report() outside of a sweep"),
    ("report", 1e3, "ms", 1.0, "report() without a checkpoint, beyond a line of text and its fsync"),
    ("report_without_trackers", 1e3, "ms", 1.0, "the same with sweep/tracker=none"),
    ("checkpoint_ratio", 1.0, "times", 2.0, f"report() with {MEGABYTES} MB of state / torch.save and fsync"),
    ("run", 1e3, "ms", 50.0, f"a trivial run on {WORKERS} warm workers, beyond Hydra's own composition"),
)


def measure_seam(*, rounds: int, quick: bool, keep: Callable[[dict[str, Any]], None]) -> None:
    """Measure everything once a round; `keep` gets the figures after every round.

    Raises:
        RunFailed: one of the commands failed.
    """
    found: dict[str, list[float]] = {
        key: [] for key in (*(goal[0] for goal in GOALS), "composition", "seconds_per_run", "load")
    }
    reports = 10 if quick else 100
    few, many = (2, 8) if quick else (20, 220)  # the difference leaves out what every sweep costs once
    for _ in range(rounds):
        found["load"].append(os.getloadavg()[0])
        found["null_report"].append(_null_report())
        for key, options in (("report", []), ("report_without_trackers", ["sweep/tracker=none"])):
            times = _reports(f"reports={reports}", *options)
            found[key].append(statistics.median(times["report"]) - statistics.median(times["floor"]))
        times = _reports(f"reports={reports // 4}", f"megabytes={MEGABYTES}", "sweep/tracker=none")
        found["checkpoint_ratio"].append(statistics.median(times["report"]) / statistics.median(times["floor"]))
        counted = ["-c", _COMPOSE, str(APPLICATION.parent), str(many - few)]
        composition = float(python(counted, APPLICATION.parent))
        seconds = (_sweep(many) - _sweep(few)) / (many - few)
        found["composition"].append(composition)
        found["seconds_per_run"].append(seconds)
        found["run"].append(seconds - composition)
        keep({key: {**spread(values), "all": list(values)} for key, values in found.items()} | {"runs": many - few})


def print_seam(console: Console, seam: Mapping[str, Any]) -> None:
    """Each figure beside what is promised."""
    for key, factor, unit, limit, words in GOALS:
        figures = {name: seam[key][name] * factor for name in ("median", "min", "max")}
        verdict = "ok" if figures["median"] <= limit else "MISSED"
        say(console, f"{words}: {format_spread(figures)} {unit}; goal {limit:g}: {verdict}")
    for key, words in (("composition", "one composition"), ("seconds_per_run", "a further run of a sweep, in all")):
        say(console, f"{words}: {seam[key]['median'] * 1e3:.0f} ms")
    say(console, f"load average before: {seam['load']['min']:.1f} to {seam['load']['max']:.1f}")


def _null_report() -> float:
    run, metrics = sweeps.current_run(), {"loss": 0.5}
    began = time.perf_counter()
    for step in range(_NULL_REPORTS):
        run.report(metrics, step=step)
    return (time.perf_counter() - began) / _NULL_REPORTS


def _reports(*options: str) -> dict[str, list[float]]:
    """The times of the reports of one run, and of the writes beside them, in turns."""
    with tempfile.TemporaryDirectory() as folder:
        _application(Path(folder), "work=report", "sweep.objective.metric=loss", *options)
        (file,) = Path(folder).rglob("times.json")
        times: dict[str, list[float]] = json.loads(file.read_text(encoding="utf-8"))
    return times


def _sweep(runs: int) -> float:
    """Seconds of a whole sweep of so many trivial runs."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        _application(Path(folder), f"x=range({runs})", "sweep/tracker=none")
        return time.perf_counter() - began


def _application(folder: Path, *overrides: str) -> None:
    workers = [f"hydra.launcher.workers={WORKERS}", "hydra.launcher.threads=1"]
    python([str(APPLICATION), "-m", *overrides, *workers, "sweep.name=seam"], folder)
