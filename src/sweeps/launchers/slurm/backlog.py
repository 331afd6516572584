"""Cells that are not in Slurm's queue yet: as many as it takes go in, the others as jobs end. Never imports torch."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sweeps.launchers.runs import Cell
from sweeps.launchers.slurm.ledger import Ledger, Submission, is_of
from sweeps.launchers.slurm.queue import LONGEST_PAUSE, Contact, Entry, Full, NoAnswer, Queue, Rejected, SlurmError
from sweeps.record.records import Status
from sweeps.results.format import plural

SETTLING = 5.0  # seconds that a job must have been over, or absent: one that is being requeued seems to be for a moment


@dataclass
class _Unheard:
    """A submission without an answer: `absent_since` tells since when Slurm has been known not to list it."""

    submission: Submission
    cells: list[Cell]
    absent_since: float | None = None


class Backlog:
    """Cells to be submitted, in pieces that keep to the limits of the cluster.

    Nothing says how many jobs a user may still have. So a piece that is too large is halved, what was taken is doubled,
    and where not even one is taken the rest waits for jobs to end.
    """

    def __init__(
        self,
        cells: Sequence[Cell],
        *,
        queue: Queue,
        ledger: Ledger,
        submit: Callable[[Submission, Sequence[Cell]], str],
        contact: Contact,
        poll: float,
        say: Callable[[str], None],
    ) -> None:
        self._cells = list(cells)
        self._queue = queue
        self._ledger = ledger
        self._submit = submit
        self._contact = contact
        self._poll = poll
        self._say = say
        self._largest: int | None = None
        self._size = 0
        self._pause = 0.0
        self._next = 0.0
        self._is_full = False
        self._unheard: list[_Unheard] = []
        self._lost = [submission for submission in ledger.read() if not submission.job]

    def __len__(self) -> int:
        return len(self._cells) + sum(len(one.cells) for one in self._unheard)

    def add(self, cell: Cell) -> None:
        """One more, to be submitted when its pause is over."""
        self._cells.append(cell)

    def clear(self) -> None:
        """Submit no more."""
        self._cells.clear()

    def job_has_ended(self) -> None:
        """There may be room for another one."""
        self._next = 0.0

    def submit(self) -> Iterator[tuple[Cell, str]]:
        """Submit what is ready and fits; yields each cell with its job.

        Raises:
            Rejected: Slurm takes none of the others, whatever ends.
        """
        now = time.monotonic()
        if self._contact.is_lost or now < self._next:
            return
        ready = [cell for cell in self._cells if cell.not_before <= now]
        if ready and self._largest is None:
            self._largest = self._size = self._queue.largest_array()
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
                self._contact.lose(error)
                break
            else:
                del ready[: len(piece)]
                submitted += len(piece)
                self._size = min(2 * self._size, self._largest or 1)
                self._pause = 0.0
        if submitted and not self._is_full:
            self._say(f"{plural(submitted, 'job')} submitted, logs in {self._ledger.folder}")
        if not ready:
            self._is_full = False

    def reconcile(self, entries: Mapping[str, Entry]) -> list[tuple[Cell, str]]:
        """Find the jobs of submissions that had no answer; cells of those that never came about are submitted again."""
        found: list[tuple[Cell, str]] = []
        for one in list(self._unheard):
            if self._ledger.is_found(one.submission, entries):
                self._unheard.remove(one)
                found += zip(one.cells, one.submission.numbers(), strict=True)
            elif one.absent_since is None:
                one.absent_since = time.monotonic()
            elif time.monotonic() - one.absent_since >= SETTLING:
                self._unheard.remove(one)
                self._lost.append(one.submission)
                done = [cell for cell in one.cells if (record := cell.read()) is not None and record.status.is_finished]
                found += ((cell, one.submission.token) for cell in done)  # so long ago that Slurm has forgotten the job
                self._give_back([cell for cell in one.cells if cell not in done])
        strays = [
            entry.job
            for entry in entries.values()
            if not entry.is_over and any(is_of(submission, entry) for submission in self._lost)
        ]
        if strays:  # Slurm had taken the submission after all, and its cells have other jobs by now
            self._queue.cancel(strays)
        return found

    def close(self) -> None:
        """All jobs are over: none of a submission that had no answer will come any more."""
        for submission in self._lost:
            self._ledger.withdraw(submission)

    def _submit_piece(self, piece: list[Cell]) -> Iterable[tuple[Cell, str]]:
        for cell in piece:
            cell.tries += 1
            _make_pending(cell)
            self._cells.remove(cell)
        submission = self._ledger.begin([cell.name for cell in piece])
        try:
            job = self._submit(submission, piece)
        except NoAnswer:
            self._unheard.append(_Unheard(submission, piece))
            raise
        except BaseException as error:
            if isinstance(error, Rejected):
                self._ledger.withdraw(submission)
            self._give_back(piece)
            raise
        self._ledger.confirm(submission, job)
        return zip(piece, submission.numbers(), strict=True)

    def _give_back(self, cells: Iterable[Cell]) -> None:
        """They are to be submitted still, before all others."""
        for cell in cells:
            cell.tries -= 1
        self._cells[:0] = cells

    def _wait_for_room(self, error: Full) -> None:
        """Not even one job is taken."""
        if error.own and self._pause and not self._any_job():
            raise Rejected(str(error)) from error  # nothing of this user's stands in the way, and did not before
        if not self._is_full:
            self._is_full = True
            self._say(f"Slurm takes no more jobs now ({error}): the other {len(self._cells)} follow as jobs end")
        self._pause = min(LONGEST_PAUSE, max(self._poll, 2 * self._pause))
        self._next = time.monotonic() + self._pause

    def _any_job(self) -> bool:
        """Whether this user has any job, of this sweep or not."""
        try:
            return any(not entry.is_over for entry in self._queue.look().values())
        except SlurmError:
            return True


def _make_pending(cell: Cell) -> None:
    """A cell that waits in Slurm's queue says so, and not how an earlier try of it ended."""
    record = cell.read()
    if cell.folder is not None and record is not None and record.status is not Status.PENDING:
        record.status, record.error = Status.PENDING, None
        cell.folder.write(record)
