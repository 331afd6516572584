"""Writing that survives a crash at any moment. Never imports torch."""

import json
import math
import os
import secrets
from pathlib import Path
from typing import Any


def atomic_write(path: Path, data: bytes | memoryview, *, durable: bool = True, private: bool = False) -> None:
    """Replace the content of `path` in one step: after a crash at any moment it holds the old or the new bytes.

    Without `durable` a power cut may lose the new bytes, which is right for what is cheap to write again. A
    `private` file is for its owner and group at most.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        temporary.touch(mode=0o640 if private else 0o666)  # less what the umask takes away
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        _fsync_folder(path.parent)


def remove_leftovers(folder: Path) -> None:
    """Delete what a killed `atomic_write` has left in `folder`; nobody else may be writing there."""
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)


def _fsync_folder(folder: Path) -> None:
    """Make a rename in `folder` durable; Windows has no such call and needs none."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def to_json(value: Any, indent: int | None = None) -> str:
    """JSON text that every reader accepts: numbers that are not finite become null."""
    return json.dumps(_finite(value), indent=indent, allow_nan=False)


def _finite(value: Any) -> Any:
    """`value` with every float that is not finite replaced by None, at any depth."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value
