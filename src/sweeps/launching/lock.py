"""One sweep, one owner: a lock file that needs nothing which a network file system lacks."""

import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from sweeps.errors import ConfigError
from sweeps.processes import STALE_SECONDS, Heartbeat, Process, this_process

LOCK_NAME = ".lock"


class LockedError(ConfigError):
    """Another living process owns the folder."""


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Own `folder` inside the block. A lock whose owner is gone, here or silent elsewhere, is taken over.

    Raises:
        LockedError: another process is at work in it.
    """
    path = folder / LOCK_NAME
    _acquire(path)
    try:
        with Heartbeat(path):
            yield
    finally:
        path.unlink(missing_ok=True)


def owner_of(folder: Path) -> Process | None:
    """Who owns the folder now; None where nobody living does."""
    path = folder / LOCK_NAME
    owner = _read(path)
    return owner if owner is not None and _is_held(path, owner) else None


def _acquire(path: Path) -> None:
    for _ in range(10):
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            owner = _read(path)
            if owner is not None and _is_held(path, owner):
                raise LockedError(
                    f"{path.parent} is in use by {owner}; wait for it, end it, or name another sweep=NAME"
                ) from None
            _remove(path, owner)
            continue
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(this_process()), file)
        return
    raise LockedError(f"{path} changes hands again and again; is the same command running several times?")


def _read(path: Path) -> Process | None:
    """The owner that a lock names; None where it is gone, or still being written."""
    try:
        return Process(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _is_held(path: Path, owner: Process) -> bool:
    if owner.is_local:
        return owner.is_alive
    try:
        return abs(time.time() - path.stat().st_mtime) < STALE_SECONDS
    except OSError:
        return False


def _remove(path: Path, owner: Process | None) -> None:
    """Take away a lock whose owner is gone; if it was replaced by a living one meanwhile, that one is put back."""
    if owner is None:
        time.sleep(0.2)  # perhaps it is being written this moment
        if _read(path) is not None:
            return
    aside = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        path.rename(aside)
    except FileNotFoundError:
        return
    if _read(aside) != owner:
        aside.rename(path)
    else:
        aside.unlink()
