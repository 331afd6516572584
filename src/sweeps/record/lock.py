"""One sweep, one owner: a lock that needs nothing which a network file system lacks.

The lock is a folder with one file, named by chance, that tells who the owner is. A rename brings it about in one step,
complete, and fails where there is a file in it. The file of a dead owner is taken away by its name, so that whoever
comes late with that cannot hit the lock of the next owner.
"""

import contextlib
import errno
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from sweeps.errors import ConfigError
from sweeps.record.files import read_json, remove_leftovers
from sweeps.record.processes import Heartbeat, Process, this_process
from sweeps.record.records import SWEEP_FILES
from sweeps.record.typed import typed

LOCK_NAME = ".lock"

_TAKEN = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR, errno.EACCES if os.name == "nt" else errno.ENOTEMPTY)


class LockedError(ConfigError):
    """Another living process owns the folder."""


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Own `folder` inside the block. A lock whose owner is gone, here or silent elsewhere, is taken over.

    Raises:
        LockedError: another process is at work in it.
    """
    path = folder / LOCK_NAME
    ours = _acquire(path)
    try:
        with Heartbeat(ours):
            remove_leftovers(folder, SWEEP_FILES)
            remove_leftovers(folder / ".slurm")
            yield
    finally:
        ours.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # another owner has come meanwhile
            path.rmdir()


def owner_of(folder: Path) -> Process | None:
    """Who owns the folder now; None where nobody living does."""
    return next((owner for _, owner in _owners(folder / LOCK_NAME) if owner is not None), None)


def _acquire(path: Path) -> Path:
    """The file that makes the lock ours."""
    made = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    made.mkdir(parents=True)
    ours = path / made.suffix[1:]
    try:
        (made / ours.name).write_text(json.dumps(asdict(this_process())), encoding="utf-8")
        for _ in range(100):
            try:
                made.rename(path)
            except OSError as error:
                if error.errno not in _TAKEN:
                    raise
            else:
                return ours
            _clear(path)
        raise LockedError(f"{path} changes hands again and again; is the same command running several times?")
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise


def _clear(path: Path) -> None:
    """Take away what dead owners left."""
    if path.is_symlink() or not path.is_dir():
        with contextlib.suppress(OSError):  # the next owner's may have come meanwhile
            path.unlink()  # no lock of ours; and what a link leads to is not ours to clear
    for file, owner in _owners(path):
        if owner is not None:
            raise LockedError(
                f"{path.parent} is in use by {owner}; wait for it, end it, or choose another sweep.name=NAME"
            )
        if file.is_dir() and not file.is_symlink():
            raise LockedError(f"{file} is a folder and no lock; move it away, and type the command again")
        file.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # Windows renames nothing onto a folder, not even an empty one
        path.rmdir()


def _owners(path: Path) -> list[tuple[Path, Process | None]]:
    """The files in a lock, each with the owner that it names; None where that is dead, or the file damaged."""
    found: list[tuple[Path, Process | None]] = []
    with contextlib.suppress(OSError):
        for file in path.iterdir():
            owner = None
            with contextlib.suppress(OSError, ValueError):
                owner = typed(Process, read_json(file))
            found.append((file, owner if owner is not None and owner.is_heard_of(file) else None))
    return found
