"""The counts of many invocations, in one file. Two drivers side by side may add to it."""

import fcntl
import json
import platform
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from sweeps.record.files import atomic_write, to_json

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("src", "conf")
PACKAGES = ("torch", "hydra-core", "omegaconf")


def commit() -> str:
    """The last commit that changed what is tested, with a + where something is not committed."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False).stdout

    changed = git("status", "--porcelain", "--", *PRODUCT).strip()
    return git("log", "-1", "--format=%h", "--abbrev=12", "--", *PRODUCT).strip() + ("+" if changed else "")


def versions() -> dict[str, Any]:
    """Of Python, and of what the sweeps were done with."""
    return {"python": platform.python_version(), "packages": {name: metadata.version(name) for name in PACKAGES}}


def read(path: Path) -> dict[str, Any]:
    """What was counted so far; nothing where there is no such file."""
    return json.loads(path.read_text()) if path.exists() else {}


def add(path: Path, mode: str, one: Mapping[str, Any]) -> dict[str, Any]:
    """Add the counts of one sweep, or of several, to those of its mode; returns all of them.

    Raises:
        ValueError: the file counts kills of another commit.
    """
    with _locked(path):
        found = read(path) or {"commit": commit(), **versions(), "modes": {}}
        check(path, found)
        found["modes"] = plus(found["modes"], {mode: one})
        atomic_write(path, (to_json(found, indent=1) + "\n").encode())
    return found


def check(path: Path, found: Mapping[str, Any]) -> None:
    """Counts of two commits do not add up.

    Raises:
        ValueError: the file counts kills of another commit.
    """
    if found and found["commit"] != commit():
        raise ValueError(f"{path} counts kills of commit {found['commit']}, and this is {commit()}: move it away")


def plus(one: Mapping[str, Any], two: Mapping[str, Any]) -> dict[str, Any]:
    """The sum of two counts, key by key; lists one behind the other."""
    total = dict(one)
    for key, value in two.items():
        if isinstance(value, Mapping):
            total[key] = plus(total.get(key, {}), value)
        else:
            total[key] = total[key] + value if key in total else value
    return {key: total[key] for key in sorted(total)}


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / f".{path.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
