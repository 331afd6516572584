"""Follows the jobs of a sweep to their ends, and does what the policy says. Never imports torch.

What became of a cell stands in its record; Slurm is asked only which jobs are left. So nothing is lost when whoever
follows goes away: the next one reads the same files.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from sweeps.errors import ConfigError, RunFailed
from sweeps.launchers.runs import Cell, NotDone
from sweeps.launchers.scheduler import Policy, record_end
from sweeps.launchers.signals import StopRequest
from sweeps.launchers.slurm.backlog import SETTLING, Backlog
from sweeps.launchers.slurm.exit_reasons import describe_end
from sweeps.launchers.slurm.followed import Job
from sweeps.launchers.slurm.job import raw_record, release
from sweeps.launchers.slurm.ledger import Ledger, Submission
from sweeps.launchers.slurm.queue import HOPELESS, Contact, Entry, Queue, Rejected, SlurmError, state_from_accounting
from sweeps.launchers.view import View
from sweeps.record.records import RunRecord, Status
from sweeps.results.format import plural

LAG = 60.0  # seconds that a record may take from the node that wrote it to us: network mounts cache for so long
FRUITLESS = 2  # starts in a row without a further epoch, and with no other failure, after which a cell has failed


class Follower:
    """Submits `cells`, follows them and those that are `under_way`, until nothing is left."""

    def __init__(
        self,
        cells: Sequence[Cell],
        under_way: Mapping[str, Cell],
        *,
        queue: Queue,
        ledger: Ledger,
        submit: Callable[[Submission, Sequence[Cell]], str],
        policy: Policy,
        view: View,
        contact: Contact,
        poll: float,
        cancel: bool,
    ) -> None:
        self._jobs: dict[str, Job] = {}
        self._queue = queue
        self._ledger = ledger
        self._policy = policy
        self._view = view
        self._contact = contact
        self._poll = poll
        self._cancel_on_interrupt = cancel
        self._failures = 0
        self._fruitless: Counter[str] = Counter()
        self._asked: set[str] = set()
        self._said: set[str] = set()
        self._rejection: Rejected | None = None
        self._waiting = Backlog(
            cells, queue=queue, ledger=ledger, submit=submit, contact=contact, poll=poll, say=self._note
        )
        for number, cell in under_way.items():
            cell.tries = 1
            self._add(cell, number)

    def run(self, stop: StopRequest) -> None:
        """Each cell has its `result` afterwards, or none where it was not done, interrupted, or left to Slurm.

        Raises:
            Rejected: Slurm takes no such jobs; those that it had taken before are over.
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
                    self._submit()
                self._look(stopping=bool(stop) or enough)
                self._view.refresh()
                self._pause(stop)
        except KeyboardInterrupt:
            if self._cancel_on_interrupt and self._jobs and not self._queue.cancel(self._jobs):
                self._note(f"the jobs could not be cancelled: scancel {' '.join(self._numbers())} ends them")
            raise
        self._waiting.close()
        if self._rejection is not None:
            raise self._rejection

    def _submit(self) -> None:
        try:
            for cell, number in self._waiting.submit():
                self._add(cell, number)
        except Rejected as error:
            self._rejection = Rejected(f"Slurm rejects the jobs of this sweep: {error}")
            self._waiting.clear()
            if self._jobs:
                self._note(f"{self._rejection}; following those that it has taken")

    def _add(self, cell: Cell, number: str) -> None:
        raw = raw_record(cell.folder) if cell.folder is not None else None
        self._jobs[number] = Job(number, cell, first=raw.epochs if raw is not None else 0)

    def _numbers(self) -> list[str]:
        """The jobs, an array as one."""
        return sorted({number.partition("_")[0] for number in self._jobs})

    def _leave(self) -> None:
        self._view.note(
            f"{plural(len(self._jobs), 'job')} left to Slurm. The same command attaches to them again, python -m "
            f"sweeps.watch {self._ledger.folder.parent} shows them, scancel {' '.join(self._numbers())} ends them"
        )

    def _look(self, *, stopping: bool) -> None:
        if not self._contact.is_due:
            return
        try:
            entries = self._queue.look()
        except SlurmError as error:
            self._contact.lose(error)
            return
        self._contact.regain()
        for cell, number in self._waiting.reconcile(entries):
            self._add(cell, number)
        for job in self._jobs.values():
            job.refresh_folder()
        unwanted: list[str] = []
        for job in list(self._jobs.values()):
            entry = entries.get(job.number)
            record = job.cell.read()
            if record is not None and record.status.is_finished:
                self._end(job)
                job.cell.complete(record)
            elif entry is None or entry.is_over:
                self._over(job, entry, record, stopping=stopping)
            elif stopping and job.verdict is None and entry.state == "RUNNING":
                self._ask_to_stop(job)
            else:
                if entry.state == "PENDING":
                    self._asked.discard(job.number)
                if not stopping:
                    self._alive(job, entry, record)
                if stopping or job.verdict is not None:
                    unwanted.append(job.number)
        if unwanted:  # at every look until they are gone: one that Slurm did not hear would run on
            self._queue.cancel(unwanted)

    def _alive(self, job: Job, entry: Entry, record: RunRecord | None) -> None:
        job.over_since = None
        if entry.state == "RUNNING":
            if not job.running:
                job.running = True
                self._view.start(job.number, job.cell)
            job.show(self._view, record)
            limit = self._policy.timeout
            if limit is not None and job.seconds_at_work(entry, record) > limit:
                text = f"job {job.number} was still running after {limit:g} s; its log: {self._log(job)}"
                self._give_up(job, "timeout", text, "a larger timeout=SECONDS")
        elif entry.state == "PENDING":
            job.spent, job.here = job.spent + job.here, 0.0
            if job.running:
                done = record.epochs if record is not None else 0
                after = f"requeued after epoch {done}" if done else "requeued before its first epoch"
                self._view.put_back(job.number, job.cell, f"{after} (job {job.number})")
                job.running = job.begun = False
            if entry.reason in HOPELESS:
                text = f"Slurm will never start job {job.number}: {entry.reason}"
                self._give_up(job, ConfigError.kind, text, "other hydra.launcher options")
            elif entry.reason not in ("None", "Priority", "Resources", "JobArrayTaskLimit"):
                self._say(f"jobs wait: {entry.reason}")

    def _give_up(self, job: Job, kind: str, text: str, advice: str) -> None:
        """Have it cancelled; its cell has failed as soon as it is over, and not before: nobody else may write there."""
        job.verdict = job.verdict or (kind, text, advice)

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
        raw = raw_record(job.cell.folder) if job.cell.folder is not None else None
        interrupted = raw is not None and raw.status is Status.INTERRUPTED and state != "OUT_OF_MEMORY"
        if stopping and raw is not None and raw.status is Status.PENDING:
            self._put_back(job, "taken out of the queue")
        elif stopping:
            self._end(job)
        elif state == "CANCELLED":
            self._cancelled(job)
        elif state == "PREEMPTED" or ((interrupted or state == "TIMEOUT") and not self._is_stuck(job, raw)):
            self._again(job, state, raw)
        else:
            node = entry.node if entry else ""
            self._failed(job, *describe_end(job.number, state, node, record, self._ledger.log(job.number)))

    def _is_stuck(self, job: Job, raw: RunRecord | None) -> bool:
        """Whether this job and the one before it have done no further epoch of the cell."""
        name = job.cell.name
        self._fruitless[name] = 0 if raw is not None and raw.epochs > job.first else self._fruitless[name] + 1
        return self._fruitless[name] >= FRUITLESS

    def _again(self, job: Job, state: str, raw: RunRecord | None) -> None:
        """It is over through no fault of its run, and is not in the queue: a new job goes on, which is no new try."""
        done = f" after epoch {raw.epochs}" if raw is not None and raw.epochs else ""
        text = f"job {job.number} ended{f' as {state}' if state else ''}{done}, submitted again"
        self._put_back(job, text)
        job.cell.tries -= 1
        self._waiting.add(job.cell)

    def _cancelled(self, job: Job) -> None:
        """Somebody has cancelled it, and does not mean that it should be tried again."""
        if job.cell.folder is not None:
            release(job.cell.folder, job.number)
        text = f"job {job.number} was cancelled by the user; the same command resumes its run"
        self._put_back(job, text)
        job.cell.fail(NotDone(f"{job.cell.name}: {text}"))

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
        self._waiting.add(cell)
        self._view.again(cell)
        self._view.note(f"{cell.label}: try {cell.tries + 1} of {self._policy.retries + 1} in {pause:.0f} s")

    def _ask_to_stop(self, job: Job) -> None:
        """A run that is at work ends after its epoch."""
        if job.number not in self._asked and self._queue.ask_to_stop([job.number]):
            self._asked.add(job.number)

    def _put_back(self, job: Job, text: str) -> None:
        """A job is over that its run has not ended with."""
        if not job.running:
            self._view.start(job.number, job.cell)
        self._view.put_back(job.number, job.cell, text)
        self._forget(job)

    def _end(self, job: Job, error: BaseException | None = None) -> None:
        if not job.running:  # it began and ended between two looks
            self._view.start(job.number, job.cell)
        self._view.end(job.number, job.cell, error)
        self._forget(job)

    def _forget(self, job: Job) -> None:
        del self._jobs[job.number]
        self._waiting.job_has_ended()

    def _log(self, job: Job) -> str:
        return str(self._ledger.log(job.number))

    def _note(self, text: str) -> None:
        self._view.note(f"{self._view.title}: {text}")

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
