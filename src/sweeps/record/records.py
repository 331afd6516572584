"""What a run leaves behind: one directory, one typed record, one line of metrics per report.

Everything that compares runs reads these files and nothing else, so a sweep can be summarised while it runs,
after a crash, or on a machine without torch. This module never imports torch.
"""

import dataclasses
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from sweeps.errors import NewerRecordError, RecordError
from sweeps.record.files import atomic_write, links_in, open_to_append, parse_json, read_bytes, to_json
from sweeps.record.first_release import upgraded
from sweeps.record.identity import settings_of
from sweeps.record.metrics import Reports, metrics_until, read_metrics
from sweeps.record.processes import Process
from sweeps.record.typed import typed

SCHEMA_VERSION = 2

RECORD_NAME = "run.json"
LOOKS = "looks.jsonl"
SWEEP_FILES = ("multirun.yaml", "sweep.json", "study.journal")  # beside the folders of its runs
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

    Kinds: `config`, `data`, `oom`, `killed`, `timeout`, `exit`, `error`; and of runs that did not fail, `diverged` for
    one whose objective became NaN or infinite, `pruned` for one that a pruner stopped and `paused` for one that reached
    `sweep.pause_at`.
    """

    kind: str
    text: str
    traceback: str = ""
    advice: str = ""


@dataclass
class Objective:
    """What runs are ranked by; see `sweeps.config.ObjectiveConfig`.

    `metric` is empty for the returned value of the training function, `direction` ("min", "max") and `split` are empty
    where the application does not say. `value` is None while there is none, or where it is not finite.
    """

    metric: str
    direction: str
    split: str
    report: str  # "last" or "best"
    value: float | None = None

    @property
    def name(self) -> str:
        """What to call it in a table."""
        return self.metric or "objective"


@dataclass
class RunRecord:
    """The content of `run.json`.

    `run_id` and `setting_id` identify the run and its setting (the run without its seed), see `sweeps.record.identity`.
    `config` is the resolved config; `ignore` are its keys that are no part of the identity, first of them the node of
    the engine; `placed` are the settings whose values hold a folder or the time of the run, by dotted keys, with a name
    in place of it; `seed_keys` are the key of the seed and those that follow from it. `facts` are what the application
    recorded: numbers and texts. `steps` is the last reported step (None: none), `max_steps` that of a whole run (None:
    unknown), `metrics` holds the rows `last` and `best` of metrics.jsonl. `seconds` is the time in the training
    function up to the last report, over all attempts. `started` and `ended` are ISO 8601 with the offset to UTC;
    `peak_memory` is in bytes. `composition` is a hash of what the config was composed from: with an equal one it need
    not be composed again. `process` does, or did, the run.
    """

    run_id: str
    setting_id: str
    name: str
    sweep: str
    status: Status
    objective: Objective
    seed: Any = None
    seed_keys: list[str] = field(default_factory=list)
    overrides: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    ignore: list[str] = field(default_factory=list)
    placed: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    steps: float | None = None
    max_steps: float | None = None
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)
    seconds: float = 0.0
    started: str = ""
    ended: str = ""
    environment: dict[str, Any] = field(default_factory=dict)
    error: Failure | None = None
    process: Process | None = None
    attempts: int = 0
    peak_memory: int | None = None
    composition: str = ""
    schema_version: int = SCHEMA_VERSION

    def settings(self) -> dict[str, Any]:
        """The settings that identify the run, the seed included, by their dotted keys."""
        return settings_of(self.config, self.ignore) | self.placed

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
                "it was damaged from outside: move its folder away, or repeat the run"
            ) from error
        if version > SCHEMA_VERSION:
            raise NewerRecordError(
                f"{source} has schema version {version}, newer than the {SCHEMA_VERSION} that this release reads; "
                "upgrade it: pip install --upgrade hydra-sweeps"
            )
        try:
            return typed(cls, upgraded(data) if version == 1 else data)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
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
        return record.process.is_heard_of(self.record)

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
        for path in self.path.iterdir() if self.path.is_dir() else ():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def append_metrics(self, row: Mapping[str, Any]) -> None:
        """Add one line to `metrics.jsonl` and see it on the disk."""
        line = to_json(dict(row)) + "\n"
        with open_to_append(self.metrics) as file:
            file.write(line.encode())
            os.fsync(file.fileno())

    def read_metrics(self, most: int | None = None) -> Reports:
        """One row per report; a torn last line, the trace of a crash, is left out.

        Of more lines than `most`, or than are good for the memory, some that are spread over the whole, the first and
        the last among them.

        Raises:
            RecordError: a line before the last is damaged.
        """
        return read_metrics(self.metrics, most)

    def metrics_until(self, step: float) -> Reports:
        """The rows up to that of `step`, however many they are: for the run itself, which resumes there.

        One that is damaged, or cannot be read, is left out, and the `note` says so; after 100 of them the rest is.
        """
        return metrics_until(self.metrics, step)

    def write_metrics(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Replace all of `metrics.jsonl`."""
        lines = (to_json(dict(row)) + "\n" for row in rows)
        atomic_write(self.metrics, "".join(lines).encode(), private=True)


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


def now() -> str:
    """The time as ISO 8601 with the offset to UTC."""
    return datetime.now().astimezone().isoformat(timespec="seconds")
