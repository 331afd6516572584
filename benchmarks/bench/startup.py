"""What the command line costs: memory of a run, and time until it answers. This module never imports torch."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.bench.report import spread
from sweeps.errors import ConfigError, RunFailed

_SOURCE = Path(__file__).resolve().parents[2]

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
        ConfigError: this system does not tell a process's memory.
        RunFailed: one of the commands failed.
    """
    if os.name == "nt":
        raise ConfigError("--memory is refused: Windows does not report the peak memory of a finished process")
    sweeps = ["-m", "sweeps"]
    training = [*sweeps, "experiment=smoke"] if quick else [*sweeps, "model=lenet_bn", "trainer.epochs=1"]
    asking = [*sweeps, "--help"]
    _python(asking)  # bytecode is written and files are cached
    seconds = []
    for _ in range(starts):
        began = time.perf_counter()
        _python(asking)
        seconds.append(time.perf_counter() - began)
    peak = int(_python(training, under=("-c", _PEAK_OF_CHILD, sys.executable))) * _MAXRSS_UNIT
    return {
        "run_command": " ".join(["python", *training]),
        "peak_rss_bytes": peak,
        "help_command": " ".join(["python", *asking]),
        "help_seconds": {**spread(seconds), "all": seconds},
    }


def _python(arguments: Sequence[str], *, under: Sequence[str] = ()) -> str:
    """Run Python in an empty folder, where a run may leave its files; returns what it printed.

    Args:
        under: arguments of another Python that starts this one.
    """
    path = os.pathsep.join([str(_SOURCE), *filter(None, [os.environ.get("PYTHONPATH")])])
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, *under, *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
        )
    if done.returncode != 0:
        raise RunFailed(f"python {' '.join(arguments)} ended with code {done.returncode}:\n{done.stderr.strip()}")
    return done.stdout
