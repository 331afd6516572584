"""A job of a sweep as its follower sees it. Never imports torch."""

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from sweeps.launchers.runs import Cell
from sweeps.launchers.scheduler import START_SECONDS
from sweeps.launchers.slurm.queue import Entry
from sweeps.launchers.view import View
from sweeps.record.records import RunRecord, Status


@dataclass
class Job:
    """A job that is followed.

    `epochs` is what the display has been told, `first` how many there were when the job was submitted, or attached to.
    `over_since` is on the monotonic clock, `verdict` is the kind, text and advice of the failure for which it is
    cancelled. `spent` is how many seconds its earlier starts have been at the run, `here` those of the present one.
    """

    number: str
    cell: Cell
    first: int = 0
    running: bool = False
    begun: bool = False
    epochs: int = 0
    over_since: float | None = None
    verdict: tuple[str, str, str] | None = None
    spent: float = 0.0
    here: float = 0.0

    def seconds_at_work(self, entry: Entry, record: RunRecord | None) -> float:
        """How long a job has been at its run, in all starts that were seen; one that has not begun has a minute."""
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
        """Pass on what its record says while it runs to the display."""
        if record is None or record.status is not Status.RUNNING or record.parameters is None:
            return
        if not self.begun:
            self.begun, self.epochs = True, record.epochs
            view.tell(self.number, "begin", {"done": record.epochs, "epochs": record.config["trainer"]["epochs"]})
        if record.epochs > self.epochs and "last" in record.metrics:
            self.epochs = record.epochs
            view.tell(self.number, "epoch", record.metrics["last"])

    def refresh_folder(self) -> None:
        """Make a network mount forget what it remembers of the run's folder, once the job is over."""
        if self.over_since is not None and self.cell.folder is not None:
            with suppress(OSError):
                os.utime(self.cell.folder.path)
