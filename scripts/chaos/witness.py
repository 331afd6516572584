"""Looks at a sweep while it is disturbed: how far it is, and what must not change any more."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from sweeps.record.records import RunDir, RunRecord, Status, find_runs

from .modes import RUNS
from .processes import session_members

START_UP, BETWEEN, TRAINING, END = "start-up", "between runs", "in training", "at the end"
PHASES = (START_UP, TRAINING, BETWEEN, END)
State = tuple[int, int]  # of a file: its inode, and when it was written


@dataclass
class Witness:
    """Remembers every record that it saw, and the content of those that were final."""

    folder: Path
    _seen: dict[Path, tuple[State, RunRecord]] = field(default_factory=dict)
    _final: dict[Path, tuple[State, bytes]] = field(default_factory=dict)
    _at_start: set[State] = field(default_factory=set)
    _session: int = 0

    def begin(self, session: int) -> None:
        """A command was started: what it finds is not its own work."""
        self.look()
        self._session = session
        self._at_start = {state for state, _ in self._seen.values()}

    def look(self) -> int:
        """How many reports are on the disk; a torn record ends the test here."""
        reports = 0
        for run in find_runs(self.folder) if self.folder.is_dir() else ():
            reports += run.metrics.read_bytes().count(b"\n") if run.metrics.exists() else 0
            state, content = _trace(run)
            if run.path in self._seen and self._seen[run.path][0] == state:
                continue
            record = RunRecord.from_json(content, run.record)
            self._seen[run.path] = state, record
            if record.status.is_final:
                self._final.setdefault(run.path, (state, content))
        return reports

    def count(self) -> int:
        """How many runs had ended in the last look."""
        return sum(record.status.is_finished for _, record in self._seen.values())

    def phase(self) -> str:
        """How far the command that was started last is, by what it has left on the disk."""
        self.look()
        records = [record for _, record in self._seen.values()]
        members = {kin.pid for kin in session_members(self._session)}
        if any(one.status is Status.RUNNING and one.process and one.process.pid in members for one in records):
            return TRAINING
        if self._at_start.issuperset(state for state, _ in self._seen.values()):
            return START_UP
        paused = [one.error is not None and one.error.kind == "paused" for one in records]  # waits for its round
        all_ended = all(one.status.is_finished for one in records) and not any(paused)
        return END if all_ended and len(records) >= RUNS else BETWEEN

    def meddled(self) -> list[str]:
        """The finished runs whose record was written again."""
        return [path.name for path, before in self._final.items() if _trace(RunDir(path)) != before]


def _trace(run: RunDir) -> tuple[State, bytes]:
    with run.record.open("rb") as file:  # one file for all three, even if it is replaced meanwhile
        state = os.fstat(file.fileno())
        return (state.st_ino, state.st_mtime_ns), file.read()
