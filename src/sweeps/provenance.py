"""What is needed to get a result again: versions, device, code. This module never imports torch."""

import functools
import platform
import socket
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("hydra-sweeps", "torch", "torchvision", "hydra-core", "omegaconf", "tensorboardX", "numpy")


def environment(device: str) -> dict[str, Any]:
    """Versions, machine, `device` (its name in words), and the state of the code that runs."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "host": socket.gethostname(),
        "device": device,
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "git": code_state(),
    }


@functools.cache
def code_state() -> dict[str, Any] | None:
    """Commit and dirty flag of the checkout that this package runs from; None for an installed package."""
    folder = Path(__file__).resolve().parent
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None or _git(folder, "ls-files", "--error-unmatch", Path(__file__).name) is None:
        return None
    return {"commit": commit, "dirty": bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
