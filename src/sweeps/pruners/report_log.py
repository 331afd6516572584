"""The report log of a sweep: one file to which every run appends the values that pruners compare. No torch here.

It needs nothing but a file system: workers of one machine and jobs of a cluster write to the same one. A line is
written by one call and begins on a line of its own, so what a killed process leaves is at worst one line that is left
out.
"""

import contextlib
import json
import logging
import os
import sys
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

log = logging.getLogger(__name__)

LOG_NAME = "pruning.jsonl"
_NO_FILE = (0, 0)


class Report(NamedTuple):
    """The value that run `run` (its run_id) of setting `setting` (its setting_id) reported at `step`."""

    setting: str
    run: str
    step: float
    metric: str
    value: float


Reports = dict[str, dict[str, dict[float, float]]]  # setting -> run -> step -> value


class ReportLog:
    """The reports of all runs of a sweep; `sweep` is its folder."""

    def __init__(self, sweep: Path) -> None:
        self.path = sweep / LOG_NAME
        self._known: dict[tuple[str, float], Reports] = {}  # what was read so far, by what it was asked for
        self._file = _NO_FILE  # its device and number: another file may have its name by now
        self._offset = 0  # bytes

    def add(self, report: Report) -> None:
        """Append `report` durably; a run that is repeated may report the same again."""
        line = json.dumps(report._asdict(), allow_nan=False)
        with open_to_append(self.path) as file:
            with _locked(file.fileno()):
                file.write(f"\n{line}\n".encode())
            os.fsync(file.fileno())

    def read(self, metric: str, sign: float = 1.0) -> Reports:
        """The reports of `metric`, times `sign`; of repeated ones the last. Do not change it: the next call adds to it.

        Only what was appended since is read: with a thousand runs the whole file takes a second.

        Raises:
            RecordError: it cannot be read.
        """
        if (metric, sign) not in self._known:
            self._known[metric, sign], self._file = {}, _NO_FILE  # from the start
        for line in self._new_lines():
            report = _parsed(line)
            for (name, factor), reports in self._known.items():
                if report is not None and report.metric == name:
                    runs = reports.setdefault(report.setting, {})
                    runs.setdefault(report.run, {})[report.step] = factor * report.value
        return self._known[metric, sign]

    def _new_lines(self) -> Iterator[bytes]:
        """The lines that were completed since the last call; where the file is another one by now, all of them.

        Of a file that is larger than is good for the memory the last ones: no run fails because a log has grown.
        """
        if not self.path.exists():
            self._start_again(_NO_FILE)
            return
        try:
            file = open_file(self.path, sys.maxsize)
        except OSError as error:
            raise RecordError(
                f"cannot read {self.path}: {error}; move it away, and the pruner starts without it"
            ) from error
        with file:
            found = os.fstat(file.fileno())
            if (found.st_dev, found.st_ino) != self._file or found.st_size < self._offset:
                self._start_again((found.st_dev, found.st_ino))
            if found.st_size - self._offset > LINES_LIMIT:
                log.warning("%s is large: the pruner knows the last %s bytes of it", self.path, f"{LINES_LIMIT:,}")
                self._offset = found.st_size - LINES_LIMIT  # in a line, which is then no report
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                yield line

    def _start_again(self, file: tuple[int, int]) -> None:
        self._known = {key: {} for key in self._known}
        self._file, self._offset = file, 0


def _parsed(line: bytes) -> Report | None:
    is_old = line.startswith(b'{"cell": ')  # release 0.1
    if not is_old and not line.startswith(b'{"setting": '):  # as `add` begins them: others need no parsing
        return None
    try:
        data = parse_json(line)
        if is_old:
            data = {**data, "setting": data["cell"], "step": data.get("at")}
        return typed(Report, data)
    except ValueError:  # torn, or written by something else
        return None


@contextlib.contextmanager
def _locked(descriptor: int) -> Iterator[None]:
    """No other process writes inside the block; where a file system has no locks, appending has to do."""
    if fcntl is not None:
        with contextlib.suppress(OSError):
            fcntl.lockf(descriptor, fcntl.LOCK_EX)
    yield  # closing the file releases the lock
