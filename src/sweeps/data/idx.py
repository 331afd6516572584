"""The IDX format: big-endian dimensions, then bytes, optionally gzipped.

The format has no checksum, so whatever can be checked is: the magic number, the dimensions against the length, and for
sets whose sums are known the SHA-256 of the *uncompressed* content, because distributions compress the files again.
"""

import gzip
import hashlib
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sweeps.errors import DataError

_UNSIGNED_BYTE = 0x08
_GET_AGAIN = "the file is damaged: remove it and get it again"


def read_idx(path: Path, ndim: int, sha256: str | None = None) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes with `ndim` dimensions; `.gz` files are decompressed.

    Raises:
        DataError: The file cannot be read, or is not exactly what its header says, or has another SHA-256.
    """
    content = _read(path)
    if sha256 is not None and (found := hashlib.sha256(content).hexdigest()) != sha256:
        raise DataError(
            f"{path}: the uncompressed content has the SHA-256 {found}, but {sha256} is expected; "
            f"it is damaged or belongs to another data set: remove it and get it again"
        )
    header_size = 4 + 4 * ndim
    if len(content) < header_size:
        raise DataError(f"{path}: {len(content)} bytes cannot hold an IDX header of {header_size}; {_GET_AGAIN}")
    magic = content[:4]
    expected_magic = bytes((0, 0, _UNSIGNED_BYTE, ndim))
    if magic != expected_magic:
        raise DataError(
            f"{path}: starts with the magic number {magic.hex()}, but {expected_magic.hex()} is expected "
            f"(IDX, unsigned bytes, {ndim} dimensions); {_GET_AGAIN}"
        )
    shape = struct.unpack(f">{ndim}I", content[4:header_size])
    found_size, expected_size = len(content) - header_size, math.prod(shape)
    if found_size != expected_size or expected_size == 0:
        raise DataError(
            f"{path}: the header promises {' x '.join(map(str, shape))} = {expected_size} bytes, "
            f"but {found_size} follow; {_GET_AGAIN}"
        )
    # A copy, because torch warns about read-only memory; the bytes themselves are freed on return.
    return np.frombuffer(content, np.uint8, offset=header_size).reshape(shape).copy()


def write_idx(path: Path, array: NDArray[np.uint8]) -> None:
    """Write unsigned bytes as IDX, gzipped where the name ends in `.gz`: the same bytes for the same array."""
    assert array.dtype == np.uint8
    content = struct.pack(f">BBBB{array.ndim}I", 0, 0, _UNSIGNED_BYTE, array.ndim, *array.shape) + array.tobytes()
    with path.open("wb") as file:
        if path.suffix != ".gz":
            file.write(content)
            return
        with gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=9, mtime=0) as compressed:
            compressed.write(content)


def _read(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); mend its permissions or remove it") from error
    if path.suffix != ".gz":
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: is not a whole gzip file ({error}); {_GET_AGAIN}") from error
