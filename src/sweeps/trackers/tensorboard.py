"""Curves and settings for TensorBoard, written with tensorboardX."""

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tensorboardX import SummaryWriter

from sweeps.record.files import make_folder, open_to_append
from sweeps.record.records import RunDir, RunRecord, Status
from sweeps.trackers import hparams
from sweeps.trackers.columns import columns_of, numbers_of
from sweeps.trackers.tracker import Tracker

SUFFIX = ".sweeps"  # ends the names of our event files: an application may have others in the same folder


class TensorBoardTracker(Tracker):
    """Writes into the run's own `tensorboard/` folder, so that `tensorboard --logdir SWEEP` names runs by folder.

    A curve for each metric, over the whole steps (see `columns.numbers_of`); its time is that of training, over all
    attempts. A row in the HParams table for each run, and the config as a text.
    """

    def __init__(self) -> None:
        self.writer: SummaryWriter | None = None

    def open(self, run: RunDir, record: RunRecord, rows: list[dict[str, Any]]) -> None:
        """Start an event file, with `rows` in it. It replaces those of earlier attempts."""
        self._record = record
        self._has_start = False
        self._step = 0
        self._began = time.time() - ((rows[-1].get("elapsed") or 0) if rows else 0)
        make_folder(run.tensorboard)
        earlier = list(run.tensorboard.glob(f"events.*{SUFFIX}"))
        for path in earlier:
            _empty(path)
        self.writer = SummaryWriter(
            str(run.tensorboard),
            purge_step=0 if earlier else None,  # for a TensorBoard that has read the earlier one
            flush_secs=10,
            # tensorboardX names files by the second, and would overwrite one of the same second.
            filename_suffix=f".{os.getpid()}-{time.time_ns()}{SUFFIX}",
        )
        self.writer.add_text("config", _as_text(record), 0)
        for row in rows:
            self._add(row)

    def report(self, row: Mapping[str, Any]) -> None:
        """Add one point to the curve of each metric."""
        assert self.writer is not None
        self._start()
        self._add(row)

    def close(self, status: Status) -> None:
        """End the row in the HParams table where the run has ended, and write what is still in memory."""
        if self.writer is None:
            return
        self._start()
        if status.is_finished or status is Status.FAILED:
            hparams.add_end(self.writer, status)
        self.writer.close()
        self.writer = None

    def tag(self, name: str) -> str:
        """The name of the curve of a metric; the part before a slash is its section."""
        return name

    def _start(self) -> None:
        """Begin the row in the HParams table: late, since TensorBoard reads its columns once, and facts are some."""
        if not self._has_start:
            self._has_start = True
            hparams.add_start(self.writer, columns_of(self._record))

    def _add(self, row: Mapping[str, Any]) -> None:
        assert self.writer is not None
        self._step = int(row["step"])
        elapsed = row.get("elapsed")
        walltime = time.time() if elapsed is None else self._began + elapsed
        for name, value, step in numbers_of(row):
            self.writer.add_scalar(self.tag(name), value, step, walltime=walltime)


def _empty(path: Path) -> None:
    """Take an event file's content away, and the file with the next attempt: a TensorBoard that reads it would stop."""
    if path.is_symlink() or path.stat().st_size == 0:
        path.unlink()
    else:
        with open_to_append(path) as file:
            file.truncate(0)


def _as_text(record: RunRecord) -> str:
    """The config as Markdown: four spaces begin a block of code, in which nothing is markup."""
    lines = json.dumps(record.config, indent=2, default=str).splitlines()
    command = " ".join(record.overrides) or "the defaults"
    return f"Overrides:\n\n    {command}\n\nConfig:\n\n" + "\n".join(f"    {line}" for line in lines)
