"""Curves and settings for TensorBoard, written with tensorboardX.

The row in the HParams table goes into the run's own event file: tensorboardX's `add_hparams` opens a second writer in a
sub-run that it names by the time. No `experiment` summary is written either: TensorBoard would take the columns of the
first one it meets for all runs, and without any it finds the columns, their types and the metrics of every run itself.
"""

import json
import os
import time
from collections.abc import Mapping
from typing import Any

from tensorboardX import SummaryWriter
from tensorboardX.proto.api_pb2 import Status as SessionStatus
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo
from tensorboardX.proto.summary_pb2 import Summary, SummaryMetadata

from sweeps.record.files import make_folder, open_to_append
from sweeps.record.records import RunDir, RunRecord, Status
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
        self._began = time.time() - ((rows[-1].get("elapsed") or 0) if rows else 0)
        make_folder(run.tensorboard)
        earlier = list(run.tensorboard.glob(f"events.*{SUFFIX}"))
        for path in earlier:  # emptied now and deleted by the next attempt: a TensorBoard that reads it would stop
            if path.is_symlink() or path.stat().st_size == 0:
                path.unlink()
            else:
                with open_to_append(path) as file:
                    file.truncate(0)
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
        if status.is_finished or status is Status.FAILED:  # TensorBoard keeps the first end: one that resumes has none
            state = SessionStatus.Value("STATUS_SUCCESS" if status is Status.COMPLETED else "STATUS_FAILURE")
            end = SessionEndInfo(status=state, end_time_secs=time.time())
            self._add_hparams("_hparams_/session_end_info", HParamsPluginData(version=0, session_end_info=end))
        self.writer.close()
        self.writer = None

    def tag(self, name: str) -> str:
        """The name of the curve of a metric; the part before a slash is its section."""
        return name

    def _start(self) -> None:
        """Begin the row in the HParams table: late, since TensorBoard reads its columns once, and facts are some."""
        if not self._has_start:
            self._has_start = True
            start = SessionStartInfo(start_time_secs=time.time())
            for key, value in columns_of(self._record).items():
                if isinstance(value, bool):
                    start.hparams[key].bool_value = value
                elif isinstance(value, str):
                    start.hparams[key].string_value = value
                else:
                    start.hparams[key].number_value = float(value)
            self._add_hparams("_hparams_/session_start_info", HParamsPluginData(version=0, session_start_info=start))

    def _add_hparams(self, tag: str, content: HParamsPluginData) -> None:
        assert self.writer is not None
        plugin = SummaryMetadata.PluginData(plugin_name="hparams", content=content.SerializeToString())
        value = Summary.Value(tag=tag, metadata=SummaryMetadata(plugin_data=plugin))
        self.writer.file_writer.add_summary(Summary(value=[value]), 0)

    def _add(self, row: Mapping[str, Any]) -> None:
        assert self.writer is not None
        elapsed = row.get("elapsed")
        walltime = time.time() if elapsed is None else self._began + elapsed
        for name, value, step in numbers_of(row):
            self.writer.add_scalar(self.tag(name), value, step, walltime=walltime)


def _as_text(record: RunRecord) -> str:
    """The config as Markdown: four spaces begin a block of code, in which nothing is markup."""
    lines = json.dumps(record.config, indent=2, default=str).splitlines()
    command = " ".join(record.overrides) or "the defaults"
    return f"Overrides:\n\n    {command}\n\nConfig:\n\n" + "\n".join(f"    {line}" for line in lines)
