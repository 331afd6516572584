"""Reading what somebody else may have made, and writing that survives a crash. Never imports torch.

A folder of runs may come from anybody. So what is read is an ordinary file of a bounded size, and what is added to is
no link, which may lead anywhere.
"""

import contextlib
import errno
import json
import math
import os
import secrets
import stat
from collections.abc import Sequence
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO

SIZE_LIMIT = 16 << 20  # bytes of a JSON file or of a run's metrics: in memory it may become thirty times as much
LINES_LIMIT = 256 << 20  # bytes of what all runs of a sweep add to
DEPTH_LIMIT = 64  # levels of JSON; whatever works with them calls itself for each

_AS_IT_IS = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)  # a pipe would be waited for


def open_file(path: Path, limit: int = SIZE_LIMIT) -> BinaryIO:
    """An ordinary file of at most `limit` bytes, for reading.

    Raises:
        OSError: there is none, or it is something else: a folder, a pipe, a device.
    """
    descriptor = os.open(path, os.O_RDONLY | _AS_IT_IS)
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode) and found.st_size <= limit:
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISREG(found.st_mode):
        raise OSError(errno.EFBIG, f"{found.st_size:,} bytes are more than the {limit:,} that are read", str(path))
    raise OSError(errno.EINVAL, "not an ordinary file", str(path))


def read_bytes(path: Path, limit: int = SIZE_LIMIT) -> bytes:
    """The content of an ordinary file of at most `limit` bytes, as of when it was opened.

    Raises:
        OSError: there is none, or it is something else.
    """
    with open_file(path, limit) as file:
        return file.read(os.fstat(file.fileno()).st_size)


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no JSON, or nested too deep.
    """
    return parse_json(read_bytes(path))


def parse_json(content: bytes | str) -> Any:
    """What a JSON text says.

    Raises:
        ValueError: it is no JSON, or nested too deep.
    """
    with contextlib.suppress(RecursionError):
        value = json.loads(content.decode() if isinstance(content, bytes) else content)
        level = [value] if isinstance(value, (dict, list)) else []
        for _ in range(DEPTH_LIMIT + 1):
            if not level:
                return value
            items = [item for node in level for item in (node.values() if isinstance(node, dict) else node)]
            level = [item for item in items if isinstance(item, (dict, list))]
    raise ValueError(f"it is nested more than {DEPTH_LIMIT} levels deep")


def open_to_append(path: Path) -> FileIO:
    """The ordinary file `path` itself, new or not, for adding to its end, unbuffered: no link, which may lead anywhere.

    Raises:
        OSError: it is something else, or cannot be written.
    """
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | _AS_IT_IS
    try:
        descriptor = os.open(path, flags, 0o640)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(error.errno, "a link, which is not written through", str(path)) from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not an ordinary file", str(path))
    return FileIO(descriptor, "r+b")


def links_in(folder: Path) -> list[Path]:
    """The folder itself, and what lies in it, so far as they are links, which may lead anywhere."""
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if entry.is_symlink())
    except OSError:  # there is none yet, or something is in its way, which the first write tells of
        names = []
    return [folder] * folder.is_symlink() + [folder / name for name in names]


def make_folder(path: Path) -> None:
    """Make the folder `path`, if there is none, inside of one that may be written.

    Raises:
        OSError: it is a link, which may lead anywhere, or cannot be made.
    """
    if path.is_symlink():
        raise OSError(errno.ELOOP, "a link, which is not written through", str(path))
    path.mkdir(parents=True, exist_ok=True)


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
    except OSError as error:  # the name for the time being says nothing to anybody
        temporary.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        _fsync_folder(path.parent)


def remove_leftovers(folder: Path, names: Sequence[str] = ("*",)) -> None:
    """Delete what a killed `atomic_write` of `names` has left in `folder`; nobody else may be writing them."""
    if folder.is_symlink():
        return  # it may lead anywhere
    for name in names:
        for path in folder.glob(f".{name}.*.tmp"):
            if path.is_symlink() or not path.is_dir():  # a folder of such a name is somebody's own
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
