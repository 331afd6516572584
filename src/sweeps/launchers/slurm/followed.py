"""A job as its follower sees it, and why it ended. Never imports torch."""

import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sweeps.errors import ConfigError
from sweeps.launchers.runs import SweepRun
from sweeps.launchers.scheduler import START_SECONDS
from sweeps.launchers.slurm.queue import Entry
from sweeps.launchers.view import View
from sweeps.record.records import RunRecord, Status


@dataclass
class Job:
    """A job that is followed.

    `steps` are those shown so far, None before it is known to have started. `over_since` is on the monotonic clock.
    `verdict` is the kind, text and advice of the failure for which it is cancelled; its run has failed once the job is
    over, and not before, since it may still write. `asked`: it was asked to stop. `spent` is how many seconds its
    earlier starts have spent on the run, `here` those of the present one.
    """

    number: str
    run: SweepRun
    running: bool = False
    steps: float | None = None
    over_since: float | None = None
    verdict: tuple[str, str, str] | None = None
    asked: bool = False
    spent: float = 0.0
    here: float = 0.0

    def seconds_at_work(self, entry: Entry, record: RunRecord | None) -> float:
        """How long it has worked on its run, over all starts that were seen; one that has not begun has a minute."""
        if record is not None and record.status is Status.RUNNING:
            here = float(entry.seconds)
            with suppress(ValueError):
                here = min(here, max(0.0, time.time() - datetime.fromisoformat(record.started).timestamp()))
            if here < self.here:  # it was requeued and started between two looks
                self.spent += self.here
            self.here = here
        elif not self.here:
            return self.spent + entry.seconds - START_SECONDS
        return self.spent + self.here

    def show(self, view: View, record: RunRecord | None) -> None:
        """Pass on to the display what its record says while it runs."""
        if record is None or record.status is not Status.RUNNING:
            return
        steps = record.steps or 0.0
        if self.steps is None:
            begin = {"step": steps, "max_steps": record.max_steps, "metric": record.objective.metric}
            view.tell(self.number, "begin", begin)
        elif steps > self.steps and "last" in record.metrics:
            view.tell(self.number, "report", record.metrics["last"])
        self.steps = steps


def describe_end(job: str, state: str, node: str, record: RunRecord | None, log: Path) -> tuple[str, str, str]:
    """Kind, text and advice (see `Failure`) for a job that is over, in this `state` (empty: Slurm does not list it).

    A job that left neither a log nor anything in its record never got as far as our code: as a rule its node cannot
    write where the log should be.
    """
    ended = f"job {job} ended{f' on {node}' if node else ''}{f' as {state}' if state else ''}"
    if (record is None or record.status is Status.PENDING) and not log.exists():
        text = f"{ended} without a trace, not even its log {log}: does the node see this folder?"
        return ConfigError.kind, text, "sweep.output=FOLDER on a file system that all nodes share"
    kind, advice = {
        "TIMEOUT": ("timeout", "a larger hydra.launcher.time=MINUTES, or hydra.launcher.notice=SECONDS"),
        "OUT_OF_MEMORY": ("oom", "a larger hydra.launcher.memory=SIZE"),
    }.get(state, ("killed", ""))
    return kind, f"{ended}; its log: {log}", advice
