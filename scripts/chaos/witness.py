"""Looks at a sweep while it is tormented: how far it is, and what must not change any more."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from sweeps.record.records import RunDir, RunRecord, Status, find_runs

from .modes import RUNS
from .processes import session_members

START_UP, BETWEEN, TRAINING, END = "start-up", "between runs", "in training", "at the end"
PHASES = (START_UP, TRAINING, BETWEEN, END)


def is_paused(record: RunRecord) -> bool:
    """Whether a run waits for the others of its round."""
    return record.error is not None and record.error.kind == "paused"


@dataclass
class Witness:
    """Remembers every record that it saw, and those that were final."""

    folder: Path
    finished: dict[Path, tuple[int, int, bytes]] = field(default_factory=dict)
    _seen: dict[Path, tuple[tuple[int, int], RunRecord]] = field(default_factory=dict)
    _at_start: set[tuple[int, int]] = field(default_factory=set)
    _session: int = 0

    def begin(self, session: int) -> None:
        """A command was started: what it finds is not its own work."""
        self.look()
        self._session = session
        self._at_start = {state for state, _ in self._seen.values()}

    def look(self) -> int:
        """How many reports are on the disk; a torn record ends the test here."""
        reports = 0
        if not self.folder.is_dir():
            return 0
        for run in find_runs(self.folder):
            try:
                reports += run.metrics.read_bytes().count(b"\n")
            except FileNotFoundError:
                reports += 0
            state, content = self._trace(run)
            if run.path in self._seen and self._seen[run.path][0] == state:
                continue
            record = RunRecord.from_json(content.decode(), run.record)
            self._seen[run.path] = state, record
            if record.status.is_final and run.path not in self.finished:
                self.finished[run.path] = (*state, content)
        return reports

    def count(self) -> int:
        """How many runs had ended in the last look."""
        return sum(record.status.is_finished for _, record in self._seen.values())

    def phase(self) -> str:
        """How far the command that was started last is, by what it has left on the disk."""
        self.look()
        new = [record for state, record in self._seen.values() if state not in self._at_start]
        members = {kin.pid for kin in session_members(self._session)}
        running = [
            record
            for _, record in self._seen.values()
            if record.status is Status.RUNNING and record.process is not None and record.process.pid in members
        ]
        if running:
            return TRAINING
        if not new:
            return START_UP
        ended = [record.status.is_finished and not is_paused(record) for _, record in self._seen.values()]
        return END if all(ended) and len(ended) >= RUNS else BETWEEN

    def meddled(self) -> list[str]:
        """The finished runs whose record was written again."""
        return [
            path.name
            for path, (*state, content) in self.finished.items()
            if self._trace(RunDir(path)) != (tuple(state), content)
        ]

    def _trace(self, run: RunDir) -> tuple[tuple[int, int], bytes]:
        with run.record.open("rb") as file:  # one file for all three, even if it is replaced meanwhile
            state = os.fstat(file.fileno())
            return (state.st_ino, state.st_mtime_ns), file.read()
