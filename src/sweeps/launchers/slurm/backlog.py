"""Runs that are not in Slurm's queue yet: as many as it accepts are submitted, the others as jobs end.

Never imports torch.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from sweeps.launchers.runs import SweepRun
from sweeps.launchers.slurm.ledger import Ledger, Submission, is_of
from sweeps.launchers.slurm.queue import Entry, Full, NoAnswer, Queue, Rejected, SlurmError
from sweeps.record.records import Status
from sweeps.results.format import plural

T = TypeVar("T")

LONGEST_PAUSE = 60.0  # seconds between two attempts at a controller that is down, or at a queue that is full
SETTLING = 5.0  # seconds that a job must have been over, or absent: one that is being requeued is so for a moment


@dataclass
class Contact:
    """Whether Slurm answers: `say` is called once when it stops answering and once when it does again.

    In between, the pauses before the next attempt grow.
    """

    say: Callable[[str], None]
    poll: float
    _since: float | None = None
    _pause: float = 0.0
    _next: float = 0.0

    @property
    def is_lost(self) -> bool:
        """Whether Slurm did not answer the last time."""
        return self._since is not None

    @property
    def is_due(self) -> bool:
        """Whether to ask again."""
        return time.monotonic() >= self._next

    def lose(self, error: SlurmError) -> None:
        """Slurm has not answered."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
            self.say(f"Slurm does not answer ({error}): waiting until it does; jobs continue meanwhile")
        self._pause = min(LONGEST_PAUSE, max(self.poll, 2 * self._pause))
        self._next = now + self._pause

    def regain(self) -> None:
        """Slurm has answered."""
        if self._since is not None:
            self.say(f"Slurm answers again after {time.monotonic() - self._since:.0f} s")
        self._since, self._pause, self._next = None, 0.0, 0.0

    def patiently(self, ask: Callable[[], T]) -> T:
        """The answer to `ask`, which is repeated until Slurm answers.

        Raises:
            Rejected: it rejects the command.
        """
        while True:
            try:
                answer = ask()
            except NoAnswer as error:
                self.lose(error)
                time.sleep(self._pause)
            else:
                self.regain()
                return answer


@dataclass
class _Unanswered:
    """A submission without an answer; `absent_since` is since when Slurm has been known not to list it."""

    submission: Submission
    runs: list[SweepRun]
    absent_since: float | None = None


@dataclass
class Backlog:
    """Runs to be submitted, in pieces that keep to the limits of the cluster.

    Slurm does not say how many more jobs a user may have. So a piece that is too large is halved, the size is doubled
    after each that is accepted, and where not even one job is accepted the rest waits for jobs to end.
    """

    runs: list[SweepRun]
    queue: Queue
    ledger: Ledger
    send: Callable[[Submission, Sequence[SweepRun]], str]
    contact: Contact
    say: Callable[[str], None]
    _largest: int | None = None
    _size: int = 0
    _pause: float = 0.0
    _next: float = 0.0
    _is_full: bool = False
    _unanswered: list[_Unanswered] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lost = [submission for submission in self.ledger.read() if not submission.job]

    def __len__(self) -> int:
        return len(self.runs) + sum(len(one.runs) for one in self._unanswered)

    def job_has_ended(self) -> None:
        """There may be room for another one."""
        self._next = 0.0

    def submit(self) -> Iterator[tuple[SweepRun, str]]:
        """Submit what is ready and fits; yields each run with its job.

        Raises:
            Rejected: Slurm will accept none of the others.
        """
        now = time.monotonic()
        if self.contact.is_lost or now < self._next:
            return
        ready = [run for run in self.runs if run.not_before <= now]
        if ready and self._largest is None:
            self._largest = self._size = self.queue.largest_array()
        submitted = 0
        while ready:
            piece = ready[: self._size]
            try:
                yield from self._submit_piece(piece)
            except Full as error:
                if len(piece) == 1:
                    self._wait_for_room(error)
                    break
                self._size = len(piece) // 2
            except NoAnswer as error:
                self.contact.lose(error)
                break
            else:
                del ready[: len(piece)]
                submitted += len(piece)
                self._size = min(2 * self._size, self._largest or 1)
                self._pause = 0.0
        if submitted and not self._is_full:
            self.say(f"{plural(submitted, 'job')} submitted, logs in {self.ledger.folder}")
        if not ready:
            self._is_full = False

    def reconcile(self, entries: Mapping[str, Entry]) -> list[tuple[SweepRun, str]]:
        """Find the jobs of submissions that had no answer; runs of those that do not exist are submitted again."""
        found: list[tuple[SweepRun, str]] = []
        for one in list(self._unanswered):
            if self.ledger.is_found(one.submission, entries):
                self._unanswered.remove(one)
                found += zip(one.runs, one.submission.numbers(), strict=True)
            elif one.absent_since is None:
                one.absent_since = time.monotonic()
            elif time.monotonic() - one.absent_since >= SETTLING:
                self._unanswered.remove(one)
                self._lost.append(one.submission)
                done = [run for run in one.runs if (record := run.read()) is not None and record.status.is_finished]
                found += ((run, one.submission.token) for run in done)  # so long ago that Slurm lists no such job
                self._give_back([run for run in one.runs if run not in done])
        strays = [
            entry.job
            for entry in entries.values()
            if not entry.is_over and any(is_of(submission, entry) for submission in self._lost)
        ]
        if strays:  # Slurm had accepted the submission after all, and its runs have other jobs by now
            self.queue.cancel(strays)
        return found

    def close(self) -> None:
        """All jobs are over: forget the submissions that had no answer."""
        for submission in self._lost:
            self.ledger.withdraw(submission)

    def _submit_piece(self, piece: list[SweepRun]) -> Iterable[tuple[SweepRun, str]]:
        for run in piece:
            run.tries += 1
            _make_pending(run)
            self.runs.remove(run)
        submission = self.ledger.begin([run.name for run in piece])
        try:
            job = self.send(submission, piece)
        except NoAnswer:
            self._unanswered.append(_Unanswered(submission, piece))
            raise
        except BaseException as error:
            if isinstance(error, Rejected):
                self.ledger.withdraw(submission)
            self._give_back(piece)
            raise
        self.ledger.confirm(submission, job)
        return zip(piece, submission.numbers(), strict=True)

    def _give_back(self, runs: Sequence[SweepRun]) -> None:
        """They are still to be submitted, before all others."""
        for run in runs:
            run.tries -= 1
        self.runs[:0] = runs

    def _wait_for_room(self, error: Full) -> None:
        """Not even one job is accepted."""
        if error.own and self._pause and not self._any_job():
            raise Rejected(str(error)) from error  # this user has no jobs that could end
        if not self._is_full:
            self._is_full = True
            self.say(f"Slurm accepts no more jobs now ({error}): the other {len(self.runs)} follow as jobs end")
        self._pause = min(LONGEST_PAUSE, max(self.contact.poll, 2 * self._pause))
        self._next = time.monotonic() + self._pause

    def _any_job(self) -> bool:
        """Whether this user has any job, of this sweep or not."""
        try:
            return any(not entry.is_over for entry in self.queue.look().values())
        except SlurmError:
            return True


def _make_pending(run: SweepRun) -> None:
    """A run that waits in Slurm's queue says so, and not how an earlier try of it ended.

    Only that it was stopped early stays: it is resumed on purpose, and not judged again before its first step.
    """
    record = run.read()
    if run.folder is not None and record is not None and record.status is not Status.PENDING:
        record.error = record.error if record.status is Status.PRUNED else None
        record.status = Status.PENDING
        run.folder.write(record)
