"""Follows the jobs of a sweep to their ends, and does what the policy says. Never imports torch.

What became of a cell stands in its record; Slurm is asked only which jobs are left. So nothing is lost when whoever
follows goes away: the next one reads the same files.
"""

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from sweeps.analysis.text import plural
from sweeps.errors import ConfigError, RunFailed
from sweeps.launching.cells import Cell
from sweeps.launching.scheduler import Policy, record_end
from sweeps.launching.signals import StopRequest
from sweeps.launching.slurm.ends import describe_end
from sweeps.launching.slurm.job import raw_record
from sweeps.launching.slurm.ledger import Ledger
from sweeps.launching.slurm.queue import HOPELESS, Entry, NoAnswer, Queue, state_from_accounting
from sweeps.launching.slurm.submit import Submitter
from sweeps.launching.view import View
from sweeps.records import RunRecord, Status

SETTLING = 5.0  # seconds that a job must have been over: one that is being requeued seems to be for a moment
LAG = 60.0  # seconds that a record may take from the node that wrote it to us: network mounts cache for so long


@dataclass
class Job:
    """A job that is followed.

    `epochs` is what the display has been told, `over_since` is on the monotonic clock, and `verdict` is the kind, text
    and advice of the failure for which it was cancelled.
    """

    number: str
    cell: Cell
    running: bool = False
    begun: bool = False
    epochs: int = 0
    over_since: float | None = None
    verdict: tuple[str, str, str] | None = None


class Follower:
    """Submits `cells`, follows them and those that are `under_way`, until nothing is left."""

    def __init__(
        self,
        cells: Sequence[Cell],
        under_way: Mapping[str, Cell],
        *,
        queue: Queue,
        ledger: Ledger,
        submit: Submitter,
        policy: Policy,
        view: View,
        poll: float,
        cancel: bool,
    ) -> None:
        for cell in under_way.values():
            cell.tries = 1
        self._waiting = list(cells)
        self._jobs = {number: Job(number, cell) for number, cell in under_way.items()}
        self._queue = queue
        self._ledger = ledger
        self._submit = submit
        self._policy = policy
        self._view = view
        self._poll = poll
        self._cancel_on_interrupt = cancel
        self._failures = 0
        self._asked: set[tuple[str, str]] = set()
        self._said: set[str] = set()

    def run(self, stop: StopRequest) -> None:
        """Each cell has its `result` afterwards, or none where it was not done, interrupted, or left to Slurm.

        Raises:
            ConfigError: Slurm refuses the jobs.
            KeyboardInterrupt: somebody asked to stop a second time; jobs that were to be cancelled are.
        """
        try:
            while self._waiting or self._jobs:
                enough = self._policy.is_enough(self._failures)
                if stop and not self._cancel_on_interrupt:
                    self._leave()
                    return
                if stop or enough:
                    self._waiting.clear()
                else:
                    self._submit_ready()
                self._look(stopping=bool(stop) or enough)
                self._view.refresh()
                self._pause(stop)
        except KeyboardInterrupt:
            if self._cancel_on_interrupt:
                self._queue.cancel(self._jobs)
            raise

    def _submit_ready(self) -> None:
        ready = [cell for cell in self._waiting if cell.not_before <= time.monotonic()]
        for cell in ready:
            cell.tries += 1
            _make_pending(cell)
        for cell, number in self._submit(ready):
            self._jobs[number] = Job(number, cell)
            self._waiting.remove(cell)
        if ready:
            self._view.note(f"{self._view.title}: {plural(len(ready), 'job')} submitted, logs in {self._ledger.folder}")

    def _leave(self) -> None:
        left = sorted({number.partition("_")[0] for number in self._jobs})
        self._view.note(
            f"{plural(len(self._jobs), 'job')} left to Slurm. The same command attaches to them again, python -m "
            f"sweeps.watch {self._ledger.folder.parent} shows them, scancel {' '.join(left)} ends them"
        )

    def _look(self, *, stopping: bool) -> None:
        try:
            entries = self._queue.look()
        except NoAnswer as error:
            self._say(f"{error}; asking again every {self._poll:g} s")
            return
        self._refresh_folders()
        for job in list(self._jobs.values()):
            entry = entries.get(job.number)
            record = job.cell.read()
            if record is not None and record.status.is_finished:
                self._end(job)
                job.cell.complete(record)
            elif entry is None or entry.is_over:
                self._over(job, entry, record, stopping=stopping)
            elif stopping:
                self._ask_to_stop(job, entry)
            else:
                self._alive(job, entry, record)

    def _alive(self, job: Job, entry: Entry, record: RunRecord | None) -> None:
        job.over_since = None
        if entry.state == "RUNNING":
            if not job.running:
                job.running = True
                self._view.start(job.number, job.cell)
            self._tell(job, record)
            if self._policy.timeout is not None and entry.seconds > self._policy.timeout:
                text = f"job {job.number} was still running after {self._policy.timeout:g} s; its log: {self._log(job)}"
                self._give_up(job, "timeout", text, "a larger timeout=SECONDS")
        elif entry.state == "PENDING":
            if job.running:  # back in the queue
                self._view.end(job.number, job.cell)
                self._view.again(job.cell)
                job.running = job.begun = False
            if entry.reason in HOPELESS:
                text = f"Slurm will never start job {job.number}: {entry.reason}"
                self._give_up(job, ConfigError.kind, text, "other hydra.launcher options")
            elif entry.reason not in ("None", "Priority", "Resources", "JobArrayTaskLimit"):
                self._say(f"jobs wait: {entry.reason}")

    def _give_up(self, job: Job, kind: str, text: str, advice: str) -> None:
        """Cancel a job; its cell has failed as soon as it is over, and not before: nobody else may write there."""
        if job.verdict is None:
            job.verdict = kind, text, advice
            self._queue.cancel([job.number])

    def _tell(self, job: Job, record: RunRecord | None) -> None:
        """Pass on what the record of a running job says to the display."""
        if record is None or record.status is not Status.RUNNING or record.parameters is None:
            return
        if not job.begun:
            job.begun, job.epochs = True, record.epochs
            self._view.tell(job.number, "begin", {"done": record.epochs, "epochs": record.config["trainer"]["epochs"]})
        if record.epochs > job.epochs and "last" in record.metrics:
            job.epochs = record.epochs
            self._view.tell(job.number, "epoch", record.metrics["last"])

    def _over(self, job: Job, entry: Entry | None, record: RunRecord | None, *, stopping: bool) -> None:
        """A job has ended, and its cell has no result (yet)."""
        if job.over_since is None:
            job.over_since = time.monotonic()
        if job.verdict is not None:
            self._failed(job, *job.verdict)
            return
        seconds = time.monotonic() - job.over_since
        if record is not None and record.status is Status.FAILED and record.error is not None:
            self._view.note(f"{job.cell.label}: the log of job {job.number} is {self._log(job)}")
            self._failed(job, record.error.kind, record.error.text)
            return
        if seconds < SETTLING:
            return
        state = entry.state if entry is not None else state_from_accounting(job.number)
        if state in ("COMPLETED", "") and seconds < LAG:  # its last words may be on their way
            return
        if stopping or state == "PREEMPTED":
            self._end(job)
            if not stopping:  # Slurm took its place away for good: it is submitted again, and goes on
                self._waiting.append(job.cell)
                self._view.again(job.cell)
            return
        self._failed(
            job, *describe_end(job.number, state, entry.node if entry else "", record, self._ledger.log(job.number))
        )

    def _failed(self, job: Job, kind: str, text: str, advice: str | None = None) -> None:
        """A try of a cell has failed; where `advice` is given, its record does not say so yet."""
        cell, raw = job.cell, raw_record(job.cell.folder) if job.cell.folder is not None else None
        if advice is not None and not (kind == "killed" and raw is not None and raw.status is Status.INTERRUPTED):
            try:
                record_end(cell, kind, text, advice)
            except OSError as trouble:
                self._view.note(f"{cell.label}: {text}; its record cannot be written: {trouble}")
        else:
            self._view.note(f"{cell.label}: {text}")
        error = RunFailed(f"{cell.name}: {text}")
        self._end(job, error)
        pause = self._policy.pause(cell, kind)
        if pause is None:
            cell.fail(error)
            self._failures += 1
            return
        cell.not_before = time.monotonic() + pause
        self._waiting.append(cell)
        self._view.again(cell)
        self._view.note(f"{cell.label}: try {cell.tries + 1} of {self._policy.retries + 1} in {pause:.0f} s")

    def _ask_to_stop(self, job: Job, entry: Entry) -> None:
        """A run that is at work ends after its epoch; what only waits is taken out of the queue."""
        if (job.number, entry.state) in self._asked:
            return
        self._asked.add((job.number, entry.state))
        if entry.state == "RUNNING":
            self._queue.ask_to_stop([job.number])
        else:
            self._queue.cancel([job.number])

    def _end(self, job: Job, error: BaseException | None = None) -> None:
        if not job.running:  # it began and ended between two looks
            self._view.start(job.number, job.cell)
        self._view.end(job.number, job.cell, error)
        self._ledger.tidy(job.number)
        del self._jobs[job.number]

    def _log(self, job: Job) -> str:
        return str(self._ledger.log(job.number))

    def _say(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._view.note(text)

    def _pause(self, stop: StopRequest) -> None:
        """Wait until the next look, or until somebody asks to stop."""
        until = time.monotonic() + self._poll
        asked = stop.count
        while (self._waiting or self._jobs) and stop.count == asked and time.monotonic() < until:
            time.sleep(min(0.2, self._poll))

    def _refresh_folders(self) -> None:
        """Make a network mount forget what it remembers of the runs' folders."""
        for job in self._jobs.values():
            if job.over_since is not None and job.cell.folder is not None:
                with suppress(OSError):
                    os.utime(job.cell.folder.path)


def _make_pending(cell: Cell) -> None:
    """A cell that waits in Slurm's queue says so, and not how an earlier try of it ended."""
    record = cell.read()
    if cell.folder is not None and record is not None and record.status is not Status.PENDING:
        record.status, record.error = Status.PENDING, None
        cell.folder.write(record)
