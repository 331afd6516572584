"""What a run leaves behind: one directory, one typed record, one line of metrics per epoch.

Everything that compares runs reads these files and nothing else, so a sweep can be summarised while it runs,
after a crash, or on a machine without torch. This module never imports torch.
"""

import dataclasses
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from sweeps.errors import NewerRecordError, RecordError
from sweeps.record.files import atomic_write, links_in, open_to_append, parse_json, read_bytes, to_json
from sweeps.record.processes import STALE_SECONDS, Process
from sweeps.record.typed import is_number, typed

SCHEMA_VERSION = 1

RECORD_NAME = "run.json"
SWEEP_FILES = ("multirun.yaml", "sweep.json", "study.journal")  # beside the folders of its runs
MOST_LINES = 250_000  # of a run's metrics: each is over 64 bytes, so more do not fit into the size that is read
SKIPPED_FOLDERS = frozenset({".hydra", ".slurm", "tensorboard"})


class Status(StrEnum):
    """Where a run stands. Divergence is a result; a failure is not."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    DIVERGED = "diverged"
    PRUNED = "pruned"
    FAILED = "failed"
    INTERRUPTED = "interrupted"

    @property
    def is_finished(self) -> bool:
        """Whether the run has its result, so that repeating the command has nothing left to do."""
        return self in (Status.COMPLETED, Status.DIVERGED, Status.PRUNED)

    @property
    def is_final(self) -> bool:
        """Whether nothing can go on from here; a pruned run can, and keeps its checkpoint."""
        return self in (Status.COMPLETED, Status.DIVERGED)


@dataclass
class Failure:
    """Why a run failed: its kind, text, the end of its traceback, and advice: an override that may help.

    Kinds: `config`, `data`, `oom`, `killed`, `timeout`, `error`; and of runs that did not fail, `diverged` for one
    whose loss blew up, `pruned` for one that was told to stop and `paused` for one at the end of its budget.
    """

    kind: str
    text: str
    traceback: str = ""
    advice: str = ""


@dataclass
class Objective:
    """The figure that runs are ranked by.

    `value` is None while there is none (no epoch finished, or not a finite number). `split` names the images that
    it was measured on, so that every table can say what a best run was chosen on.
    """

    metric: str
    direction: str  # "max" or "min"
    epoch: str  # "last" or "best"
    split: str  # "test", "val" or "train"
    value: float | None = None


@dataclass
class RunRecord:
    """The content of `run.json`. `metrics` holds the rows `last` and `best` of `metrics.jsonl`.

    `seconds` counts training and evaluation, not start-up; `examples_per_second` counts training examples against
    training time alone; `forward_macs` counts the network's multiply-accumulate operations for one image;
    `peak_memory` is in bytes, of the device where that is CUDA, else of the process; `started` and `ended` are
    ISO 8601 with the offset to UTC. `data_order` is a hash of the order of the training images: equal ones prove that
    two runs saw the same batches. `stopped_at` is how many epochs a pruned run had done, parts of one included.
    `weights_epoch` is the epoch that `weights.safetensors` was written after: the last one, or the best one where
    patience stopped the run. `composition` is a hash of what the config was composed from: with an equal one, it need
    not be composed again to know that it is the same. `process` is who trains, or trained, the run.
    """

    run_id: str
    name: str
    sweep: str
    status: Status
    objective: Objective
    overrides: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    parameters: int | None = None
    forward_macs: int | None = None
    epochs: int = 0
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)
    seconds: float = 0.0
    examples_per_second: float | None = None
    started: str = ""
    ended: str = ""
    environment: dict[str, Any] = field(default_factory=dict)
    error: Failure | None = None
    process: Process | None = None
    attempts: int = 0
    peak_memory: int | None = None
    data_order: str = ""
    stopped_at: float | None = None
    weights_epoch: int | None = None
    composition: str = ""
    schema_version: int = SCHEMA_VERSION

    def to_json(self) -> str:
        """The record as JSON text; numbers that are not finite become null, which every JSON reader accepts."""
        return to_json(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, source: str | Path) -> Self:
        """The record in `text`.

        Raises:
            RecordError: the text is not a record; `source` is named in it.
            NewerRecordError: a newer release wrote it.
        """
        try:
            data = parse_json(text)
            version = data["schema_version"]
            if not isinstance(version, int):
                raise TypeError(f"schema_version={version!r} is not a whole number")
        except (ValueError, KeyError, TypeError) as error:
            raise RecordError(
                f"{source} is not a run record ({type(error).__name__}: {error}); "
                "it was damaged from outside: move its folder away, or run that cell again"
            ) from error
        if version > SCHEMA_VERSION:
            raise NewerRecordError(
                f"{source} has schema version {version}, newer than the {SCHEMA_VERSION} that this release reads; "
                "upgrade it: pip install --upgrade hydra-sweeps"
            )
        try:
            return typed(cls, data)
        except ValueError as error:
            raise RecordError(
                f"{source} lacks or garbles a field of a run record: {error}; move its folder away or repeat the run"
            ) from error


class RunDir:
    """The files of one run, by name. Nothing in it is ever unpickled."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.record = self.path / RECORD_NAME
        self.metrics = self.path / "metrics.jsonl"
        self.checkpoint = self.path / "checkpoint.pt"
        self.weights = self.path / "weights.safetensors"
        self.predictions = self.path / "predictions.safetensors"
        self.confusion = self.path / "confusion.json"
        self.tensorboard = self.path / "tensorboard"
        self.log = self.path / "run.log"

    def read(self) -> RunRecord:
        """The record of this run. One that says `running` while its process is gone is `interrupted`.

        Raises:
            RecordError: there is none, or it is unreadable, or a newer release wrote it.
        """
        record = self.read_as_written()
        if record.status is Status.RUNNING and not self.is_running(record):
            record.status = Status.INTERRUPTED
        return record

    def read_as_written(self) -> RunRecord:
        """The record of this run, which may say `running` of a process that is gone.

        Raises:
            RecordError: there is none, or it is unreadable, or a newer release wrote it.
        """
        try:
            content = read_bytes(self.record)
        except OSError as error:
            raise RecordError(f"cannot read {self.record}: {error}") from error
        return RunRecord.from_json(content, self.record)

    def is_running(self, record: RunRecord) -> bool:
        """Whether somebody is at work on `record`: a living process here, or a recent heartbeat from elsewhere."""
        if record.status is not Status.RUNNING or record.process is None:
            return False
        if record.process.is_local:
            return record.process.is_alive
        try:
            return abs(time.time() - self.record.stat().st_mtime) < STALE_SECONDS
        except OSError:
            return False

    def refuse_links(self) -> None:
        """Whatever a run writes stays in its folder, which somebody else may have made.

        Raises:
            RecordError: the folder is a link, or something in it is.
        """
        for place in links_in(self.path):
            raise RecordError(
                f"{place} is a link, and a run writes into its own folder alone; remove it, or move it away"
            )

    def write(self, record: RunRecord, *, durable: bool = True) -> None:
        """Replace the record: readers see the old one or the new one, never a part."""
        atomic_write(self.record, record.to_json().encode(), durable=durable, private=True)

    def clear(self) -> None:
        """Delete what a run has left here."""
        shutil.rmtree(self.tensorboard, ignore_errors=True)
        for path in (self.record, self.metrics, self.checkpoint, self.weights, self.predictions, self.confusion):
            path.unlink(missing_ok=True)

    def append_metrics(self, row: Mapping[str, Any]) -> None:
        """Add one epoch's line to `metrics.jsonl` and see it on the disk."""
        line = to_json(dict(row)) + "\n"
        with open_to_append(self.metrics) as file:
            file.write(line.encode())
            os.fsync(file.fileno())

    def read_metrics(self) -> list[dict[str, Any]]:
        """One row per finished epoch; a torn last line, the trace of a crash, is left out.

        Raises:
            RecordError: a line before the last is damaged.
        """
        try:
            content = read_bytes(self.metrics)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise RecordError(f"cannot read {self.metrics}: {error}") from error
        if content.count(b"\n") > MOST_LINES:
            raise RecordError(
                f"{self.metrics} has more than {MOST_LINES:,} lines, and no epochs make so many; move it away"
            )
        lines = content.splitlines()
        rows: list[dict[str, Any]] = []
        for number, line in enumerate(lines, start=1):
            try:
                rows.append(_row(line))
            except ValueError as error:
                if number == len(lines):
                    break
                raise RecordError(f"line {number} of {self.metrics} is damaged: {error}") from error
        return rows

    def write_metrics(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Replace all of `metrics.jsonl`."""
        lines = (to_json(dict(row)) + "\n" for row in rows)
        atomic_write(self.metrics, "".join(lines).encode(), private=True)


def _row(line: bytes) -> dict[str, Any]:
    """A line of `metrics.jsonl`: figures and texts by name, and `epoch` a whole number.

    Raises:
        ValueError: it is something else.
    """
    row = parse_json(line)
    if not isinstance(row, dict):
        raise ValueError(f"{str(row)[:60]} is not an object")
    for key, value in row.items():
        if not (value is None or isinstance(value, (bool, str)) or is_number(value)):
            raise ValueError(f"{key[:60]} is neither a finite number nor a text")
    if "epoch" in row and not (is_number(row["epoch"]) and isinstance(row["epoch"], int)):
        raise ValueError("epoch is not a whole number")
    return row


def find_runs(folder: str | Path) -> Iterator[RunDir]:
    """Every run directory at or below `folder`, in the order of their paths.

    Raises:
        RecordError: there is no such folder.
    """
    root = Path(folder)
    if not root.is_dir():
        raise RecordError(f"{root} is not a folder; name a sweep's folder, such as multirun/lr_study")
    for path, folders, files in os.walk(root):
        if RECORD_NAME in files:
            folders.clear()  # runs do not nest
            yield RunDir(path)
        else:
            folders[:] = sorted(set(folders) - SKIPPED_FOLDERS)
