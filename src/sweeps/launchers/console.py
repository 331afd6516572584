"""Progress of one run: a bar on a terminal, plain lines elsewhere. Never imports torch."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

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
        """Say so on standard error, once, unless that has gone the same way (`2>&1 | head`)."""
        _silence(sys.stdout)
        try:
            print("standard output is closed; the runs continue without it, and Ctrl-C stops them", file=sys.stderr)
            sys.stderr.flush()
        except BrokenPipeError:
            _silence(sys.stderr)


def _silence(stream: IO[str]) -> None:
    """What is written to `stream` from now on goes nowhere."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, stream.fileno())
    os.close(devnull)


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
    """A display for one run on standard output."""
    return RunDisplay(SweepConsole(), stop_requested)


@dataclass
class Activity:
    """One run under way, at `step` of `max_steps`: None where nobody knows how many there will be."""

    place: str
    name: str
    step: float | None = None
    max_steps: float | None = None
    text: str = ""
    metric: str = ""
    next_line: float = 0.0  # when its next report is printed, on the monotonic clock

    @property
    def share(self) -> float:
        """How much of the run is done, from 0 to 1; 0 where that is unknown."""
        return min((self.step or 0.0) / self.max_steps, 1.0) if self.max_steps else 0.0

    def is_due(self, step: float) -> bool:
        """Whether the report of `step` is printed: at most one a second, but the first and the last one always."""
        now = time.monotonic()
        if now < self.next_line and (self.max_steps is None or step < self.max_steps):
            return False
        self.next_line = now + LINE_SECONDS
        return True


class RunDisplay(Progress):
    """One run: on a terminal a bar, or a counter of steps where nobody knows how many there will be; else lines."""

    def __init__(self, console: Console, stop_requested: Callable[[], bool]) -> None:
        self.console, self._stop_requested = console, stop_requested
        self._run = Activity("", "")
        self._bars: Bars | None = None

    def begin(self, record: RunRecord) -> None:
        self._run = Activity("", record.name, max_steps=record.max_steps, metric=record.objective.metric)
        self.line(f"{record.name}: {f'resuming from {step_of(record.steps)}' if record.steps else 'starting'}")
        if self.console.is_terminal:
            columns: list[ProgressColumn] = [TextColumn("{task.description}"), TextColumn("{task.fields[text]}")]
            if record.max_steps:
                columns = [BarColumn(), *columns, TimeRemainingColumn(compact=True)]
            self._bars = Bars(*columns, console=self.console, transient=True, refresh_per_second=2)
            self._task = self._bars.add_task("", total=record.max_steps, text="")
            self.update(record.steps or 0, "")
            self._bars.start()

    def update(self, step: float, text: str) -> None:
        if self._bars is not None:
            place = step_of(step, self._run.max_steps)
            self._bars.update(self._task, completed=step, description=place, text=escape(printable(text)))

    def report(self, row: Mapping[str, Any]) -> None:
        text = metrics_of(row, self._run.metric)
        if self._bars is not None:
            self.update(row["step"], text)
        elif self._run.is_due(row["step"]):
            self.line(f"  {step_of(row['step'], self._run.max_steps)}  {text}".rstrip())

    def end(self, record: RunRecord, *, skipped: bool = False) -> None:
        if self._bars is not None:
            self._bars.stop()
        if record.status is not Status.FAILED:  # the error itself is printed last
            before = "already complete, skipped: " if skipped else ""
            self.line(f"{record.name}: {before}{verdict(record)}", style=STYLES.get(record.status, ""))

    def stop_requested(self) -> bool:
        return self._stop_requested()

    def line(self, text: str, style: str = "") -> None:
        """Print `text` as it is, unwrapped: nothing in it is markup or an escape sequence."""
        self.console.print(Text(printable(text), style=style), soft_wrap=True)


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
