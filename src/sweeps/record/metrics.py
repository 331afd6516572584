"""Reading metrics.jsonl, the lines of which may be very many. Never imports torch."""

import io
import os
import sys
from pathlib import Path
from typing import Any, BinaryIO

from sweeps.errors import RecordError
from sweeps.record.files import SIZE_LIMIT, open_file
from sweeps.record.typed import parse_row

MOST_LINES = 250_000  # that readers take
MOST_DAMAGED = 100  # lines that a resumed run leaves out: a file with more of them is something else
_PARTS = 64  # evenly spread over a file that is larger than what readers take


class Reports(list[dict[str, Any]]):
    """Rows of metrics.jsonl; the `note` says if they are not all."""

    note = ""


def read_metrics(path: Path, most: int | None = None) -> Reports:
    """See `sweeps.record.records.RunDir.read_metrics`."""
    try:
        with open_file(path, sys.maxsize) as file:
            size = os.fstat(file.fileno()).st_size
            content = file.read(size) if size <= SIZE_LIMIT else _parts(file, size)
    except FileNotFoundError:
        return Reports()
    except OSError as error:
        raise RecordError(f"cannot read {path}: {error}") from error
    count = content.count(b"\n")
    every = max(1, -(-count // (most or MOST_LINES)))
    lines = [line for number, line in enumerate(io.BytesIO(content)) if number % every == 0 or number >= count - 1]
    rows = Reports()
    if every > 1 or size > SIZE_LIMIT:
        rows.note = f"{path.name} is large: {len(lines):,} of its lines were read, spread over all of it"
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(parse_row(line))
        except ValueError as error:
            if number == len(lines):
                break
            which = "a line" if rows.note else f"line {number}"
            raise RecordError(f"{which} of {path} is damaged: {error}") from error
    return rows


def metrics_until(path: Path, step: float) -> Reports:
    """See `sweeps.record.records.RunDir.metrics_until`."""
    rows, damaged = Reports(), 0
    try:
        with open_file(path, sys.maxsize) as file:
            for number, line in enumerate(file, start=1):
                try:
                    row = parse_row(line)
                except ValueError as error:
                    if not line.endswith(b"\n"):
                        break
                    rows.note = f"line {number} of {path} is damaged: {error}"
                    damaged += 1
                    if damaged > MOST_DAMAGED:
                        break
                    continue
                if row["step"] > step:
                    break
                rows.append(row)
    except FileNotFoundError:
        pass
    except OSError as error:
        rows.note = f"cannot read {path}: {error}"
    return rows


def _parts(file: BinaryIO, size: int) -> bytes:
    """Whole lines of a file that is larger than `SIZE_LIMIT`, from places spread over it, its ends among them."""
    length, found = SIZE_LIMIT // _PARTS, []
    for number in range(_PARTS):
        start = (size - length) * number // (_PARTS - 1)
        file.seek(start)
        part = file.read(length)
        begin = part.find(b"\n") + 1 if start else 0
        found.append(part[begin:] if start + length >= size else part[begin : part.rfind(b"\n") + 1])
    return b"".join(found)
