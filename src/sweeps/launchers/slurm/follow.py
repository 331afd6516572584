"""Follows the jobs of a sweep to their ends, and does what the policy says. Never imports torch.

The result of a run is in its record; Slurm is asked only which jobs are left. So nothing is lost when the process that
follows them is killed: the next one reads the same files.
"""

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from sweeps.errors import ConfigError, RunFailed
from sweeps.launchers.console import step_of
from sweeps.launchers.runs import NotDone, SweepRun
from sweeps.launchers.scheduler import Policy, record_end
from sweeps.launchers.signals import StopRequest
from sweeps.launchers.slurm.backlog import SETTLING, Backlog
from sweeps.launchers.slurm.followed import Job, describe_end
from sweeps.launchers.slurm.job import MOST_FRUITLESS, record_as_written, release, steps_of
from sweeps.launchers.slurm.ledger import Ledger
from sweeps.launchers.slurm.queue import HOPELESS, Entry, Queue, Rejected, SlurmError, state_from_accounting
from sweeps.launchers.view import View
from sweeps.record.records import RunRecord, Status
from sweeps.results.format import plural

LAG = 60.0  # seconds that a record may take from the node that wrote it to us: network mounts cache for so long
_USUAL = ("None", "Priority", "Resources", "JobArrayTaskLimit")  # reasons to wait that need no mention


@dataclass
class Follower:
    """Submits the `backlog`, follows its jobs and those that are already `under_way`, until nothing is left."""

    backlog: Backlog
    under_way: Mapping[str, SweepRun]
    policy: Policy
    view: View
    cancel: bool  # the jobs, where somebody asks to stop; else they are left to Slurm
    _jobs: dict[str, Job] = field(default_factory=dict)
    _failures: int = 0
    _furthest: dict[str, float] = field(default_factory=dict)  # by the name of a run, the furthest step of all its jobs
    _fruitless: dict[str, int] = field(default_factory=dict)
    _noted: set[str] = field(default_factory=set)
    _rejection: Rejected | None = None

    def __post_init__(self) -> None:
        self._queue: Queue = self.backlog.queue
        self._ledger: Ledger = self.backlog.ledger
        for number, run in self.under_way.items():
            run.tries = 1
            self._add(run, number)

    def run(self, stop: StopRequest) -> None:
        """Each run has its `result` afterwards, or none where it was not done, interrupted, or left to Slurm.

        Raises:
            Rejected: Slurm accepts no such jobs; those that it had accepted before are over.
            KeyboardInterrupt: somebody asked to stop a second time; jobs that were to be cancelled are.
        """
        try:
            while self.backlog or self._jobs:
                enough = self.policy.is_enough(self._failures)
                if stop and not self.cancel:
                    self._leave()
                    return
                if stop or enough:
                    self.backlog.runs.clear()
                else:
                    self._submit()
                self._look(stopping=bool(stop) or enough)
                self.view.refresh()
                self._pause(stop)
        except KeyboardInterrupt:
            if self.cancel and self._jobs and not self._queue.cancel(self._jobs):
                self._note(f"the jobs could not be cancelled: scancel {' '.join(self._numbers())} ends them")
            raise
        self.backlog.close()
        if self._rejection is not None:
            raise self._rejection

    def _submit(self) -> None:
        try:
            for run, number in self.backlog.submit():
                self._add(run, number)
        except Rejected as error:
            self._rejection = Rejected(f"Slurm rejects the jobs of this sweep: {error}")
            self.backlog.runs.clear()
            if self._jobs:
                self._note(f"{self._rejection}; following those that it has accepted")

    def _add(self, run: SweepRun, number: str) -> None:
        self._furthest.setdefault(run.name, steps_of(run.folder))
        self._jobs[number] = Job(number, run)

    def _numbers(self) -> list[str]:
        """The jobs, an array as one."""
        return sorted({number.partition("_")[0] for number in self._jobs})

    def _leave(self) -> None:
        self._note(
            f"{plural(len(self._jobs), 'job')} left to Slurm. The same command attaches to them again, python -m "
            f"sweeps.watch {self._ledger.folder.parent} shows them, scancel {' '.join(self._numbers())} ends them"
        )

    def _look(self, *, stopping: bool) -> None:
        if not self.backlog.contact.is_due:
            return
        try:
            entries = self._queue.look()
        except SlurmError as error:
            self.backlog.contact.lose(error)
            return
        self.backlog.contact.regain()
        for run, number in self.backlog.reconcile(entries):
            self._add(run, number)
        unwanted: list[str] = []
        for job in list(self._jobs.values()):
            if job.over_since is not None and job.run.folder is not None:
                with suppress(OSError):
                    os.utime(job.run.folder.path)  # a network mount reads the folder again
            entry = entries.get(job.number)
            record = job.run.read()
            if record is not None and record.status.is_finished:
                self._end(job)
                job.run.complete(record)
            elif entry is None or entry.is_over:
                self._over(job, entry, record, stopping=stopping)
            elif stopping and job.verdict is None and entry.state == "RUNNING":
                job.asked = job.asked or self._queue.ask_to_stop([job.number])
            else:
                job.asked = job.asked and entry.state != "PENDING"
                if not stopping:
                    self._alive(job, entry, record)
                if stopping or job.verdict is not None:
                    unwanted.append(job.number)
        if unwanted:  # at every look until they are gone: Slurm may have missed it
            self._queue.cancel(unwanted)

    def _alive(self, job: Job, entry: Entry, record: RunRecord | None) -> None:
        job.over_since = None
        if entry.state == "RUNNING":
            if not job.running:
                job.running = True
                self.view.start(job.number, job.run)
            job.show(self.view, record)
            limit = self.policy.timeout
            if limit is not None and job.seconds_at_work(entry, record) > limit:
                text = f"job {job.number} was still running after {limit:g} s; its log: {self._ledger.log(job.number)}"
                job.verdict = job.verdict or ("timeout", text, "a larger sweep.timeout=SECONDS")
        elif entry.state == "PENDING":
            job.spent, job.here = job.spent + job.here, 0.0
            if job.running:
                steps = record.steps if record is not None else None
                at = f"at {step_of(steps)}" if steps else "before its first report"
                self.view.put_back(job.number, job.run, f"requeued {at} (job {job.number})")
                job.running, job.steps = False, None
            if entry.reason in HOPELESS:
                text = f"Slurm will never start job {job.number}: {entry.reason}"
                job.verdict = job.verdict or (ConfigError.kind, text, "other hydra.launcher options")
            elif entry.reason not in (*_USUAL, *self._noted):
                self._noted.add(entry.reason)
                self._note(f"jobs wait: {entry.reason}")

    def _over(self, job: Job, entry: Entry | None, record: RunRecord | None, *, stopping: bool) -> None:
        """A job has ended, and its run has no result (yet)."""
        job.over_since = job.over_since or time.monotonic()
        if job.verdict is not None:
            self._failed(job, *job.verdict)
            return
        seconds = time.monotonic() - job.over_since
        if record is not None and record.status is Status.FAILED and record.error is not None:
            self.view.note(f"{job.run.label}: the log of job {job.number} is {self._ledger.log(job.number)}")
            self._failed(job, record.error.kind, record.error.text)
            return
        if seconds < SETTLING:
            return
        state = entry.state if entry is not None else state_from_accounting(job.number)
        if state in ("COMPLETED", "") and seconds < LAG:  # its last record may be on the way
            return
        raw = record_as_written(job.run.folder)
        interrupted = raw is not None and raw.status is Status.INTERRUPTED and state != "OUT_OF_MEMORY"
        if stopping and raw is not None and raw.status is Status.PENDING:
            self._put_back(job, "removed from the queue")
        elif stopping:
            self._end(job)
        elif state == "CANCELLED":
            self._cancelled(job)
        elif state == "PREEMPTED" or ((interrupted or state == "TIMEOUT") and not self._is_stuck(job.run)):
            done = f" at {step_of(raw.steps)}" if raw is not None and raw.steps else ""
            self._put_back(job, f"job {job.number} ended{f' as {state}' if state else ''}{done}, submitted again")
            job.run.tries -= 1  # not the fault of its run
            self.backlog.runs.append(job.run)
        else:
            node = entry.node if entry else ""
            self._failed(job, *describe_end(job.number, state, node, record, self._ledger.log(job.number)))

    def _is_stuck(self, run: SweepRun) -> bool:
        """Whether the last job of a run and the one before it have done no further step."""
        name, steps = run.name, steps_of(run.folder)
        self._fruitless[name] = 0 if steps > self._furthest[name] else self._fruitless.get(name, 0) + 1
        self._furthest[name] = max(steps, self._furthest[name])
        return self._fruitless[name] >= MOST_FRUITLESS

    def _cancelled(self, job: Job) -> None:
        """Somebody has cancelled it, so it is not tried again."""
        if job.run.folder is not None:
            release(job.run.folder, job.number)
        text = f"job {job.number} was cancelled by the user; the same command resumes its run"
        self._put_back(job, text)
        job.run.fail(NotDone(f"{job.run.name}: {text}"))

    def _failed(self, job: Job, kind: str, text: str, advice: str | None = None) -> None:
        """A try of a run has failed; where `advice` is given, its record does not say so yet."""
        run, raw = job.run, record_as_written(job.run.folder)
        if advice is not None and not (kind == "killed" and raw is not None and raw.status is Status.INTERRUPTED):
            try:
                record_end(run, kind, text, advice)
            except OSError as trouble:
                self.view.note(f"{run.label}: {text}; its record cannot be written: {trouble}")
        else:
            self.view.note(f"{run.label}: {text}")
        error = RunFailed(f"{run.name}: {text}")
        self._end(job, error)
        if self.policy.tries_again(run, kind, self.view):
            self.backlog.runs.append(run)
        else:
            run.fail(error)
            self._failures += 1

    def _put_back(self, job: Job, text: str) -> None:
        """A job is over that its run has not ended with."""
        if not job.running:
            self.view.start(job.number, job.run)
        self.view.put_back(job.number, job.run, text)
        self._forget(job)

    def _end(self, job: Job, error: BaseException | None = None) -> None:
        if not job.running:  # it began and ended between two looks
            self.view.start(job.number, job.run)
        self.view.end(job.number, job.run, error)
        self._forget(job)

    def _forget(self, job: Job) -> None:
        del self._jobs[job.number]
        self.backlog.job_has_ended()

    def _note(self, text: str) -> None:
        self.view.note(f"{self.view.title}: {text}")

    def _pause(self, stop: StopRequest) -> None:
        """Wait until the next look, or until somebody asks to stop."""
        until = time.monotonic() + self.backlog.contact.poll
        asked = stop.count
        while (self.backlog or self._jobs) and stop.count == asked and time.monotonic() < until:
            time.sleep(min(0.2, self.backlog.contact.poll))
