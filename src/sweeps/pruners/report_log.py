"""The board of a sweep: one file to which every run appends how well it does. Never imports torch.

It needs nothing but a file system: workers of one machine and jobs of a cluster write to the same one. A line is
written by one call and begins on a line of its own, so what a killed process leaves is at worst one line that is left
out.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from sweeps.errors import RecordError
from sweeps.record.files import LINES_LIMIT, open_file, open_to_append, parse_json
from sweeps.record.typed import typed

try:
    import fcntl
except ImportError:  # Windows, where an appending write is as safe as it gets
    fcntl = None  # type: ignore[assignment]

BOARD_NAME = "pruning.jsonl"


class Report(NamedTuple):
    """How run `run` (its run_id) of cell `cell` (its cell_id) stood after `at` epochs."""

    cell: str
    run: str
    at: float
    metric: str
    value: float


Reports = dict[str, dict[str, dict[float, float]]]  # cell -> run -> epochs done -> value


class Board:
    """The reports of all runs of a sweep."""

    def __init__(self, sweep: Path) -> None:
        self.path = sweep / BOARD_NAME
        self._known: dict[str, Reports] = {}  # by metric: what was read so far
        self._file = (0, 0)  # its device and number: another file may have its name by now
        self._offset = 0  # bytes

    def add(self, report: Report) -> None:
        """Append `report` and see it on the disk; a run that is repeated may say the same again."""
        line = json.dumps(report._asdict(), allow_nan=False)
        with open_to_append(self.path) as file:
            with _alone(file.fileno()):
                file.write(f"\n{line}\n".encode())
            os.fsync(file.fileno())

    def read(self, metric: str) -> Reports:
        """The reports of `metric`, of repeated ones the last; not to be changed, for the next call adds to it.

        Only what was appended since is read: with a thousand runs the whole file takes a second.

        Raises:
            RecordError: it cannot be read, or is too large.
        """
        if not self.path.exists():
            self._known, self._offset = {}, 0
            return {}
        try:
            file = open_file(self.path, LINES_LIMIT)
        except OSError as error:
            raise RecordError(
                f"cannot read {self.path}: {error}; move it away, and the pruner starts without it"
            ) from error
        with file:
            found = os.fstat(file.fileno())
            if (found.st_dev, found.st_ino) != self._file or found.st_size < self._offset:
                self._file, self._known, self._offset = (found.st_dev, found.st_ino), {}, 0
            file.seek(self._offset)
            new = file.read()
            whole = new[: new.rfind(b"\n") + 1]
            self._offset += len(whole)
            for line in whole.splitlines():
                report = _parsed(line)
                if report is not None:
                    runs = self._known.setdefault(report.metric, {}).setdefault(report.cell, {})
                    runs.setdefault(report.run, {})[report.at] = report.value
        return self._known.get(metric, {})


def _parsed(line: bytes) -> Report | None:
    if not line.startswith(b'{"cell": '):  # as `add` begins them: a file of millions of others is soon read
        return None
    try:
        return typed(Report, parse_json(line))
    except ValueError:  # blank, torn, or from elsewhere
        return None


@contextlib.contextmanager
def _alone(descriptor: int) -> Iterator[None]:
    """Nobody else writes inside the block; where a file system has no locks, appending has to do."""
    if fcntl is not None:
        with contextlib.suppress(OSError):
            fcntl.lockf(descriptor, fcntl.LOCK_EX)
    yield  # closing the file lets go of the lock
