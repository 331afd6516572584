"""Progress on the terminal: bars where there is one, plain lines elsewhere."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.text import Text

from sweeps.launchers.signals import STOPPING, stop_on_signals
from sweeps.progress import Progress
from sweeps.record.records import RunRecord, Status
from sweeps.terminal import printable

STYLES = {
    Status.COMPLETED: "green",
    Status.DIVERGED: "yellow",
    Status.PRUNED: "dim",
    Status.RUNNING: "cyan",
    Status.FAILED: "bold red",
    Status.INTERRUPTED: "magenta",
}

_current: Progress | None = None


class SweepConsole(Console):
    """Standard output, beyond which a sweep goes on where nobody reads it any more (`| head`)."""

    def on_broken_pipe(self) -> None:
        """Say so where somebody may still read it, once: there is nobody left for whom to end."""
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, sys.stdout.fileno())
        os.close(devnull)
        print("standard output is closed; the runs go on without it, and Ctrl-C stops them", file=sys.stderr)


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
    """A line per epoch and per run: for files, pipes and batch jobs."""

    def __init__(self, console: Console, stop_requested: Callable[[], bool]) -> None:
        self.console = console
        self._stop_requested = stop_requested
        self._epochs = 0

    def begin(self, record: RunRecord, *, epochs: int, batches: int) -> None:
        """Say what is trained."""
        self._epochs = epochs
        again = f", going on after epoch {record.epochs}" if record.epochs else ""
        self.line(f"{record.name}: {record.parameters:,} parameters{again}")

    def epoch(self, row: Mapping[str, Any]) -> None:
        """Print its figures."""
        rate, seconds = row["examples_per_second"], row["seconds"]
        self.line(f"  epoch {row['epoch']}/{self._epochs}  {figures_of(row)}  {rate:,.0f} images/s  {seconds:.1f} s")

    def end(self, record: RunRecord, *, skipped: bool = False) -> None:
        """Say how it ended."""
        if record.status is not Status.FAILED:  # the error itself comes last
            before = "finished before: " if skipped else ""
            self.line(f"{record.name}: {before}{verdict(record)}", style=STYLES.get(record.status, ""))

    def stop_requested(self) -> bool:
        """Whether somebody has asked to stop."""
        return self._stop_requested()

    def line(self, text: str, style: str = "") -> None:
        """Print `text` as it is, unwrapped: nothing in it is markup or an escape sequence."""
        self.console.print(Text(printable(text), style=style), soft_wrap=True)


class BarDisplay(LineDisplay):
    """Bars for epochs and batches while the run is under way."""

    def __init__(self, console: Console, stop_requested: Callable[[], bool]) -> None:
        super().__init__(console, stop_requested)
        self._bars: Bars | None = None

    def begin(self, record: RunRecord, *, epochs: int, batches: int) -> None:
        """Start the bars."""
        super().begin(record, epochs=epochs, batches=batches)
        self._bars = Bars(
            TextColumn("{task.description:<12}"),
            BarColumn(),
            TextColumn("{task.fields[place]:>9}"),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(compact=True),
            console=self.console,
            transient=True,
            refresh_per_second=2,
        )
        place = f"{record.epochs}/{epochs}"
        self._epoch_bar = self._bars.add_task("epochs", total=epochs, completed=record.epochs, place=place, figures="")
        self._batch_bar = self._bars.add_task("train", total=batches, place=f"0/{batches}", figures="")
        self._bars.start()

    def batch(self, phase: str, epoch: int, done: int, total: int, loss: float, acc: float, rate: float) -> None:
        """Move the bars."""
        if self._bars is None:
            return
        figures = f"loss {loss:.3f}  acc {acc:.3f}  {rate:,.0f} images/s"
        place = f"{done}/{total}"
        self._bars.update(self._batch_bar, description=phase, total=total, completed=done, place=place, figures=figures)
        share = 0.75 * done / total if phase == "train" else 0.75  # the backward pass makes training the longer part
        self._bars.update(self._epoch_bar, completed=epoch - 1 + share)

    def epoch(self, row: Mapping[str, Any]) -> None:
        """Move the bar of the epochs."""
        if self._bars is None:
            return
        epoch = row["epoch"]
        figures = escape(figures_of(row))
        self._bars.update(self._epoch_bar, completed=epoch, place=f"{epoch}/{self._epochs}", figures=figures)
        self._bars.reset(self._batch_bar, description="train")

    def end(self, record: RunRecord, *, skipped: bool = False) -> None:
        """Take the bars away and say how it ended."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None
        super().end(record, skipped=skipped)


def verdict(record: RunRecord) -> str:
    """How a run ended, in one line."""
    objective = record.objective
    figure = "" if objective.value is None else f", {objective.metric} {objective.value:.4f}"
    reason = f": {record.error.text}" if record.error is not None else ""
    come = record.epochs if record.stopped_at is None else record.stopped_at
    return f"{record.status}{figure} after {come:g} epochs, {record.seconds:.1f} s{reason}"


def figures_of(row: Mapping[str, Any]) -> str:
    """The losses and accuracies of a metrics row, in one line."""
    keys = [key for key in row if key.endswith(("_loss", "_acc"))]
    return "  ".join(f"{key} {row[key]:.4f}" for key in keys)
