"""What is needed to get a result again: versions, device, code. This module never imports torch."""

import functools
import inspect
import json
import os
import platform
import socket
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from sweeps.record.files import SIZE_LIMIT, atomic_write, read_json
from sweeps.record.masking import shown_text, shown_words

PACKAGES = ("hydra-sweeps", "torch", "torchvision", "hydra-core", "omegaconf", "tensorboardX", "numpy")

DIFF_LIMIT = 200_000  # characters


def environment(device: str, code: Path | None) -> dict[str, Any]:
    """Versions, machine, `device` (its name in words), and the state of the code in the folder `code`."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "host": socket.gethostname(),
        "slurm_job": slurm_job(),
        "device": device,
        "command": [*Path(sys.argv[0]).name.split(), *shown_words(sys.argv[1:])],
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "git": None if code is None else code_state(code),
    }


def slurm_job() -> str:
    """The Slurm job that this process belongs to, as Slurm numbers it: 12, or 12_3; empty outside of one."""
    array, task = (os.environ.get(f"SLURM_ARRAY_{part}_ID") for part in ("JOB", "TASK"))
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID", "")


def note_invocation(folder: Path, slots: Sequence[str], code: Path | None) -> None:
    """Add this start of a sweep to `sweep.json` in its folder: command, versions, code with its diff, GPUs.

    What earlier starts wrote stays as it is.
    """
    invocations = invocations_of(folder)
    began = datetime.now().astimezone().isoformat(timespec="seconds")
    made_with = environment(gpu_names() or processor(), code)
    diff = None if code is None else code_diff(code)
    invocations.append({"began": began, "folder": str(Path.cwd()), **made_with, "slots": list(slots), "diff": diff})
    while len(text := json.dumps({"invocations": invocations}, indent=2).encode()) > SIZE_LIMIT and invocations[1:]:
        del invocations[0]  # it could not be read again
    atomic_write(folder / "sweep.json", text, private=True)


def invocations_of(folder: Path) -> list[dict[str, Any]]:
    """Every start of the sweep in `folder`, as its `sweep.json` tells; none where that is missing or damaged."""
    try:
        found = read_json(folder / "sweep.json")["invocations"]
        return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    except (OSError, ValueError, KeyError, TypeError):
        return []


def gpu_names() -> str:
    """Every GPU of the machine with its driver, from the driver's own tool; empty where there is none."""
    command = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    return _output(Path.cwd(), *command) or ""


def processor() -> str:
    """The name of the machine's processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def code_diff(code: Path) -> str | None:
    """What the working tree changes against the commit, cut where it is very long; None outside a checkout."""
    if code_state(code) is None:
        return None
    diff = shown_text(_output(code, "git", "diff", "HEAD") or "")
    return diff if len(diff) <= DIFF_LIMIT else diff[:DIFF_LIMIT] + "\n[cut]"


@functools.cache
def code_state(code: Path) -> dict[str, Any] | None:
    """Commit and dirty flag of the checkout that a folder of code belongs to; None where git does not know it."""
    commit = _output(code, "git", "rev-parse", "HEAD")
    if commit is None or not _output(code, "git", "ls-files"):
        return None
    changed = _output(code, "git", "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "dirty": bool(changed)}


def folder_of_code(function: Any) -> Path | None:
    """The folder of the file that defines a function."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    file = Path(code.co_filename) if code is not None else Path()
    return file.absolute().parent if file.is_file() else None


def _output(folder: Path, *command: str) -> str | None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


@functools.cache
def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
