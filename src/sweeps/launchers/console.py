"""Progress of one run on the terminal: a bar where there is one, plain lines elsewhere. Never imports torch."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.text import Text

from sweeps.launchers.signals import STOPPING, stop_on_signals
from sweeps.progress import Progress
from sweeps.pruners import PAUSED
from sweeps.record.records import RunRecord, Status
from sweeps.record.typed import is_number
from sweeps.results.format import metric, steps
from sweeps.terminal import printable

STYLES = {
    Status.COMPLETED: "green",
    Status.DIVERGED: "yellow",
    Status.PRUNED: "dim",
    Status.RUNNING: "cyan",
    Status.FAILED: "bold red",
    Status.INTERRUPTED: "magenta",
}
LINE_SECONDS = 1.0  # between two lines of a run where no terminal shows it live
MOST_METRICS = 4  # of a report that are shown, the objective first: a line has no room for more

_current: Progress | None = None


class SweepConsole(Console):
    """Standard output; where its reader is gone (`| head`) the sweep continues without it."""

    def on_broken_pipe(self) -> None:
        """Say so on standard error, once."""
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, sys.stdout.fileno())
        os.close(devnull)
        print("standard output is closed; the runs continue without it, and Ctrl-C stops them", file=sys.stderr)


@contextmanager
def current_progress() -> Iterator[Progress]:
    """The display of this process: a sweep's, or else one for a single run, which signals stop."""
    if _current is not None:
        yield _current
        return
    with stop_on_signals(f"\n{STOPPING}\n") as stop:
        yield display(lambda: bool(stop))


@contextmanager
def showing(progress: Progress) -> Iterator[None]:
    """Make `progress` the display of this process."""
    global _current
    before, _current = _current, progress
    try:
        yield
    finally:
        _current = before


def display(stop_requested: Callable[[], bool]) -> Progress:
    """A display for one run that fits what standard output is."""
    console = SweepConsole()
    return BarDisplay(console, stop_requested) if console.is_terminal else LineDisplay(console, stop_requested)


class LineDisplay(Progress):
    """A line per report: for files, pipes and batch jobs."""

    def __init__(self, console: Console, stop_requested: Callable[[], bool]) -> None:
        self.console = console
        self._stop_requested = stop_requested
        self.max_steps: float | None = None
        self.next_line = 0.0
        self._metric = ""

    def begin(self, record: RunRecord) -> None:
        """Say which run it is, and where it resumes."""
        self.max_steps, self._metric = record.max_steps, record.objective.metric
        self.line(f"{record.name}: {f'resuming from {step_of(record.steps)}' if record.steps else 'starting'}")

    def report(self, row: Mapping[str, Any]) -> None:
        """Print its metrics, if it is time."""
        if is_due(self, row["step"]):
            self.line(f"  {step_of(row['step'], self.max_steps)}  {metrics_of(row, self._metric)}".rstrip())

    def end(self, record: RunRecord, *, skipped: bool = False) -> None:
        """Say how it ended."""
        if record.status is not Status.FAILED:  # the error itself is printed last
            before = "already complete, skipped: " if skipped else ""
            self.line(f"{record.name}: {before}{verdict(record)}", style=STYLES.get(record.status, ""))

    def stop_requested(self) -> bool:
        """Whether somebody has asked to stop."""
        return self._stop_requested()

    def line(self, text: str, style: str = "") -> None:
        """Print `text` as it is, unwrapped: nothing in it is markup or an escape sequence."""
        self.console.print(Text(printable(text), style=style), soft_wrap=True)


class BarDisplay(LineDisplay):
    """A bar while the run is under way, or a counter of steps where nobody knows how many there will be."""

    _bars: Bars | None = None

    def begin(self, record: RunRecord) -> None:
        """Start the bar."""
        super().begin(record)
        columns: list[ProgressColumn] = [TextColumn("{task.description}"), TextColumn("{task.fields[text]}")]
        if record.max_steps:
            columns = [BarColumn(), *columns, TimeRemainingColumn(compact=True)]
        self._bars = Bars(*columns, console=self.console, transient=True, refresh_per_second=2)
        self._task = self._bars.add_task("", total=record.max_steps, text="")
        self._move(record.steps or 0, "")
        self._bars.start()

    def update(self, step: float, text: str) -> None:
        """Move the bar between two reports."""
        self._move(step, text)

    def report(self, row: Mapping[str, Any]) -> None:
        """Move the bar."""
        self._move(row["step"], metrics_of(row, self._metric))

    def end(self, record: RunRecord, *, skipped: bool = False) -> None:
        """Remove the bar and say how the run ended."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None
        super().end(record, skipped=skipped)

    def _move(self, step: float, text: str) -> None:
        if self._bars is not None:
            place = step_of(step, self.max_steps)
            self._bars.update(self._task, completed=step, description=place, text=escape(printable(text)))


class _Printed(Protocol):
    """A run whose reports are printed: `next_line` is when, on the monotonic clock."""

    max_steps: float | None
    next_line: float


def is_due(run: _Printed, step: float) -> bool:
    """Whether the report of `step` is printed: at most one a second, but the first and the last one always."""
    now = time.monotonic()
    if now < run.next_line and (run.max_steps is None or step < run.max_steps):
        return False
    run.next_line = now + LINE_SECONDS
    return True


def step_of(step: float, max_steps: float | None = None) -> str:
    """Where a run is, as `step 3/10`."""
    return f"step {steps(step)}/{steps(max_steps)}" if max_steps else f"step {steps(step)}"


def verdict(record: RunRecord) -> str:
    """How a run ended, in one line: `completed, val_loss 0.1234 after 10 steps, 12.3 s`."""
    objective = record.objective
    value = "" if objective.value is None else f", {objective.name} {metric(objective.value)}"
    done = "" if record.steps is None else f" after {steps(record.steps)} step{'' if record.steps == 1 else 's'}"
    reason = f": {record.error.text}" if record.error is not None else ""
    paused = record.error is not None and record.error.kind == PAUSED  # it continues, and was not found wanting
    return f"{PAUSED if paused else record.status}{value}{done}, {record.seconds:.1f} s{reason}"


def metrics_of(row: Mapping[str, Any], objective: str) -> str:
    """The objective of a row of metrics and a few others, in one line."""
    names = [name for name in row if name not in ("step", "elapsed", objective)]
    found = [(name, row[name]) for name in (objective, *names) if is_number(row.get(name))]
    return "  ".join(f"{name} {metric(value)}" for name, value in found[:MOST_METRICS])
