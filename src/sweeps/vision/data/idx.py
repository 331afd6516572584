"""The IDX format: big-endian dimensions, then bytes, optionally gzipped.

The format has no checksum, so whatever can be checked is: the magic number, the dimensions against the length, and for
sets whose sums are known the SHA-256 of the *uncompressed* content, because distributions compress the files again.
"""

import gzip
import hashlib
import io
import math
import stat
import struct
import zlib
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from sweeps import DataError

_UNSIGNED_BYTE = 0x08
# What a compressed file may hold: so many bytes in any case, and so many for each of its own.
_ALWAYS, _RATIO = 2**26, 50
_PIECE = 2**20
_GET_AGAIN = "the file is damaged: remove it and get it again"


def read_idx(path: Path, ndim: int, sha256: str | None = None) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes with `ndim` dimensions; `.gz` files are decompressed.

    No more is read or decompressed than the header promises, which a compressed file can keep within reason alone.

    Raises:
        DataError: The file cannot be read, or is not exactly what its header says, or has another SHA-256.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe or a device has no end
            raise DataError(f"{path}: is not a regular file; put the file itself there")
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            header, array = _read(path, cast(io.BufferedIOBase, file), ndim, status.st_size)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: is not a whole gzip file ({error}); {_GET_AGAIN}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); mend its permissions or remove it") from error
    if sha256 is not None:
        digest = hashlib.sha256(header)
        digest.update(array.data)
        if (found := digest.hexdigest()) != sha256:
            raise DataError(
                f"{path}: the uncompressed content has the SHA-256 {found}, but {sha256} is expected; "
                f"it is damaged or belongs to another data set: remove it and get it again"
            )
    return array


def _read(path: Path, file: io.BufferedIOBase, ndim: int, size: int) -> tuple[bytes, NDArray[np.uint8]]:
    """The header and the content, from a file of `size` bytes on the disk."""
    header_size = 4 + 4 * ndim
    header = file.read(header_size)
    if len(header) < header_size:
        raise DataError(f"{path}: {len(header)} bytes cannot hold an IDX header of {header_size}; {_GET_AGAIN}")
    expected_magic = bytes((0, 0, _UNSIGNED_BYTE, ndim))
    if header[:4] != expected_magic:
        raise DataError(
            f"{path}: starts with the magic number {header[:4].hex()}, but {expected_magic.hex()} is expected "
            f"(IDX, unsigned bytes, {ndim} dimensions); {_GET_AGAIN}"
        )
    shape = struct.unpack(f">{ndim}I", header[4:])
    expected = math.prod(shape)
    promise = f"the header promises {' x '.join(map(str, shape))} = {expected} bytes"
    if path.suffix == ".gz":
        if expected > _ALWAYS + _RATIO * size:
            raise DataError(f"{path}: {promise}, but images do not compress to {size} bytes from that; {_GET_AGAIN}")
    elif expected != size - header_size:
        raise DataError(f"{path}: {promise}, but {size - header_size} follow; {_GET_AGAIN}")
    if expected == 0:
        raise DataError(f"{path}: {promise}, and so no data; {_GET_AGAIN}")
    array = np.empty(expected, np.uint8)
    found = 0
    while count := file.readinto(array.data[found : found + _PIECE]):
        found += count
    if found != expected or file.read(1):
        raise DataError(f"{path}: {promise}, but {'more' if found == expected else found} follow; {_GET_AGAIN}")
    return header, array.reshape(shape)


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
