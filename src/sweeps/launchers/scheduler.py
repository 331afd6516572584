"""Which run runs when, and what follows from how it ended."""

import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, Self

from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig

from sweeps.config import mount_of, settings_of
from sweeps.errors import ConfigError, DataError, RunFailed
from sweeps.launchers.job import NO_GUARD, UNGUARDED
from sweeps.launchers.local.pool import POLL_SECONDS, Event, Pool, Worker
from sweeps.launchers.runs import NotDone, SweepRun
from sweeps.launchers.signals import STOPPING, StopRequest
from sweeps.launchers.view import View
from sweeps.record.records import Failure, Status, now

LONGEST_PAUSE = 60.0  # seconds before a further try
START_SECONDS = 60.0  # that a run may take beyond its timeout to start its process and to read its images
MOST_INTERRUPTIONS = 3  # of one run, by somebody who did not mean the sweep
WITHOUT_RETRY = (ConfigError.kind, DataError.kind)  # what fails the same way every time


@dataclass(frozen=True)
class Policy:
    """What follows from failures (see `sweeps.config.SweepConfig`), for all launches of a sweep.

    `at_a_time` is how many runs there may be at a time, and `refuse` tells whether a job that cannot work keeps all
    others from being started; else it fails alone. `failed` holds the results of jobs, by their numbers, that failed
    for good in earlier launches of the same sweep: they are not done again.
    """

    on_failure: str = "continue"
    stop_after: int | None = None
    retries: int = 0
    timeout: float | None = None
    at_a_time: int | None = None
    refuse: bool = True
    failed: dict[int, JobReturn] = field(default_factory=dict)

    @classmethod
    def of(cls, config: DictConfig, *, at_a_time: int | None = None, refuse: bool = True) -> Self:
        """What a sweep's config says; an application without the engine's node says nothing of it."""
        keys = ("on_failure", "stop_after", "retries", "timeout") if mount_of(config) is not None else ()
        found = {key: getattr(settings_of(config), key) for key in keys}
        return cls(**found, at_a_time=at_a_time, refuse=refuse)

    def is_enough(self, failures: int) -> bool:
        """Whether so many failures, with those of earlier launches, end the sweep."""
        limit = 1 if self.on_failure == "stop" else self.stop_after
        failures += len({id(result) for result in self.failed.values()})  # equal runs have one result
        return limit is not None and failures >= max(limit, 1)

    def note(self, results: Mapping[int, JobReturn]) -> None:
        """Remember which jobs of a launch failed."""
        for number, result in results.items():
            if result.status is JobStatus.FAILED and not isinstance(result._return_value, NotDone):
                self.failed[number] = result

    def recall(self, runs: Sequence[SweepRun]) -> None:
        """Give runs that failed in an earlier launch their results."""
        for run in runs:
            run.result = self.failed.get(run.number)

    def tries_again(self, run: SweepRun, kind: str, view: View) -> bool:
        """Whether a run that failed has another try, which is then announced: it may start after a pause."""
        if run.tries > self.retries or kind in WITHOUT_RETRY:
            return False
        pause = min(LONGEST_PAUSE, 2.0 ** (run.tries - 1))
        run.not_before = time.monotonic() + pause
        view.again(run)
        view.note(f"{run.label}: attempt {run.tries + 1} of {self.retries + 1} in {pause:.0f} s")
        return True


class Feed(Protocol):
    """Runs that are not known beforehand: one is made when a worker is free, from what the others came to.

    `total` is how many it makes in all, `finished` how many of them were done before.
    """

    total: int
    finished: int

    @property
    def has_more(self) -> bool:
        """Whether there will be another run."""

    def next(self) -> SweepRun | None:
        """A run to do; None where there is none now."""

    def settle(self) -> None:
        """Take note of the runs that have their result."""


class Scheduler:
    """Gives runs to idle workers until none is left, somebody asks to stop, or the policy says so."""

    def __init__(
        self, runs: Sequence[SweepRun], pool: Pool, policy: Policy, view: View, feed: Feed | None = None
    ) -> None:
        self._waiting = list(runs)
        self._pool, self._policy, self._view, self._feed = pool, policy, view, feed
        self._failures = 0

    def run(self, stop: StopRequest) -> None:
        """Do the runs; each has its `result` afterwards, or none where it was not done or interrupted."""
        asked = False
        while self._waiting or self._pool.busy or (self._feed is not None and self._feed.has_more):
            stopping = bool(stop) or self._policy.is_enough(self._failures)
            if not stopping:
                self._fill()
            elif not asked:
                asked = True
                self._pool.stop()
                enough = "enough failures: stopping the runs under way at their next report"
                self._view.note(STOPPING if stop else enough)
            if stopping and not self._pool.busy:
                return
            for event in self._pool.poll(POLL_SECONDS):
                self._handle(event, stopping=bool(stop) or self._policy.is_enough(self._failures))
            self._end_overdue()
            if self._feed is not None:
                self._feed.settle()
            self._view.refresh()

    def _fill(self) -> None:
        for worker in self._pool.idle:
            run = next((run for run in self._waiting if run.not_before <= time.monotonic()), None)
            if run is not None:
                self._waiting.remove(run)
            elif self._feed is not None:
                run = self._feed.next()
            if run is None:
                return
            run.tries += 1
            self._view.start(worker.slot.name, run)
            job = {"overrides": run.overrides, "number": run.number, "composed": run.preflight.composed}
            worker.since = time.monotonic() + START_SECONDS
            worker.submit(run, "run", {**job, "folder": str(run.folder.path)})

    def _handle(self, event: Event, *, stopping: bool) -> None:
        worker, run = event.worker, event.worker.task
        if event.kind not in ("done", "died"):
            if event.kind == "begin":
                worker.since = time.monotonic()
            self._view.tell(worker.slot.name, event.kind, event.content)
            return
        worker.finish()
        if event.kind == "died":
            self._ended(worker, run, *describe_exit(event.content))
        elif isinstance(event.content, JobReturn) and event.content.status is JobStatus.COMPLETED:
            run.result = event.content
            self._view.end(worker.slot.name, run)
        elif isinstance(event.content, KeyboardInterrupt) and (stopping or run.tries <= MOST_INTERRUPTIONS):
            self._view.end(worker.slot.name, run)
            if not stopping:  # somebody stopped this one worker, which is of no more use
                worker.kill()
                self._waiting.insert(0, run)
                self._view.again(run)
        else:
            error = event.content._return_value if isinstance(event.content, JobReturn) else event.content
            if isinstance(error, KeyboardInterrupt):
                error = RunFailed(f"{run.name} was interrupted {run.tries} times; repeat the command to resume it")
            worker.kill()  # after an exception, an out-of-memory above all, a fresh process is the safe one
            self._failed(worker, run, error)

    def _failed(self, worker: Worker, run: SweepRun, error: BaseException) -> None:
        self._view.end(worker.slot.name, run, error)
        record = run.read()
        kind = record.error.kind if record is not None and record.error is not None else "error"
        if self._policy.tries_again(run, kind, self._view):
            self._waiting.append(run)
        else:
            run.fail(error)
            self._failures += 1

    def _end_overdue(self) -> None:
        limit = self._policy.timeout
        if limit is None:
            return
        text, advice = f"still running after {limit:g} s", "a larger sweep.timeout=SECONDS"
        for worker in self._pool.busy:
            if time.monotonic() - worker.since > limit:
                run = worker.task
                worker.kill()
                worker.finish()
                self._ended(worker, run, "timeout", text, advice)

    def _ended(self, worker: Worker, run: SweepRun, kind: str, text: str, advice: str) -> None:
        """The process of a run is gone; perhaps it had just finished and could not say so any more."""
        record = run.read()
        if record is not None and record.status.is_finished:
            run.complete(record)
            self._view.end(worker.slot.name, run)
            return
        try:
            record_end(run, kind, text, advice)
        except OSError as error:  # a disk that is full, a folder that has become read-only
            self._view.note(f"{run.label}: {text}; its record cannot be written: {error}")
        self._failed(worker, run, RunFailed(f"{run.name}: {text}"))


def describe_exit(exit_code: int) -> tuple[str, str, str]:
    """Kind, text and advice for a process that ended without a word."""
    if exit_code == UNGUARDED:
        return "config", NO_GUARD, ""
    if exit_code >= 0:
        return "killed", f"the process exited with code {exit_code}", ""
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:
        name = f"signal {-exit_code}"
    if -exit_code == signal.SIGKILL:
        return "killed", f"ended by {name}, possibly out of memory", "less memory: a smaller batch or model"
    return "killed", f"ended by {name}", ""


def record_end(run: SweepRun, kind: str, text: str, advice: str) -> None:
    """Write into a run's record, if there is one, how its process ended, since it could not do so itself."""
    record = run.read()
    if record is not None:
        peak = f" (peak memory {record.peak_memory / 2**20:,.0f} MiB)" if record.peak_memory else ""
        record.status = Status.FAILED
        record.error = Failure(kind, f"{text}{peak}", advice=advice)
        record.ended = now()
        run.folder.write(record)
