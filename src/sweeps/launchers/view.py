"""What a sweep looks like from outside: a table that lives on a terminal, plain lines elsewhere."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sweeps.launchers.console import STYLES, figures_of, verdict
from sweeps.launchers.runs import Cell
from sweeps.record.records import Status
from sweeps.results.runs import UNREADABLE
from sweeps.terminal import clean, printable

FORETELLING_SHARE = 0.05  # of the work must be done before the rest is estimated: the start is not like the rest


@dataclass
class Activity:
    """One run under way: `share` of all its epochs is done."""

    place: str
    name: str
    epoch: int = 0
    epochs: int = 0
    share: float = 0.0
    figures: str = ""


@dataclass
class Overview:
    """A sweep at one moment."""

    title: str
    counts: Counter[str]
    activities: Sequence[Activity] = ()
    best: str = ""
    seconds_left: float | None = None

    def line(self) -> Text:
        """The sweep in one line."""
        total = sum(self.counts.values())
        text = Text(clean(f"{self.title}: {total} cells"))
        for status in (*Status, UNREADABLE):
            if self.counts[status]:
                text.append("  ")
                text.append(f"{self.counts[status]} {status}", style=STYLES.get(status, ""))
        if self.best:
            text.append(f"  best {clean(self.best)}", style="bold")
        if self.seconds_left is not None:
            text.append(f"  {duration(self.seconds_left)} left")
        return text

    def __rich__(self) -> RenderableType:
        table = Table.grid(padding=(0, 1))
        table.add_column(no_wrap=True, style="dim")
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        table.add_column(width=20)
        table.add_column(no_wrap=True, justify="right")
        table.add_column(no_wrap=True)
        for run in self.activities:
            bar = ProgressBar(total=1.0, completed=run.share, width=20)
            place = f"epoch {run.epoch}/{run.epochs}" if run.epochs else "starting"
            table.add_row(Text(clean(run.place)), Text(clean(run.name)), bar, place, Text(printable(run.figures)))
        return Group(self.line(), table)


def duration(seconds: float) -> str:
    """Seconds as `0:07`, `3:20`, `1:02:03` or `2 d 4 h`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 24:
        return f"{hours // 24} d {hours % 24} h"
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@dataclass
class View:
    """Shows one sweep while it is launched.

    `total` counts every cell, `finished` those that were done before, `failed` those that failed in an earlier launch.
    """

    title: str
    console: Console
    total: int
    finished: int = 0
    failed: int = 0
    _counts: Counter[str] = field(default_factory=Counter)
    _activities: dict[str, Activity] = field(default_factory=dict)
    _ended: dict[int, Status] = field(default_factory=dict)
    _best: tuple[float, str] | None = None
    _began: float = field(default_factory=time.monotonic)
    _done_here: float = 0.0
    _live: Live | None = None

    def open(self) -> None:
        """Begin to show."""
        self._counts[Status.COMPLETED] = self.finished
        self._counts[Status.FAILED] = self.failed
        self._counts[Status.PENDING] = self.total - self.finished - self.failed
        if self.console.is_terminal:
            self._live = Live(self.overview(), console=self.console, refresh_per_second=2, transient=True)
            self._live.start()

    def close(self) -> None:
        """Leave the terminal as a plain one."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def start(self, slot: str, cell: Cell) -> None:
        """A cell was given to a worker."""
        self._activities[slot] = Activity(slot, cell.label)
        self._counts[Status.RUNNING] += 1
        self._counts[Status.PENDING] -= 1

    def tell(self, slot: str, kind: str, content: Mapping[str, Any]) -> None:
        """A run said something of itself."""
        run = self._activities[slot]
        if kind == "begin":
            run.epoch, run.epochs = content["done"] + 1, content["epochs"]
            run.share = content["done"] / content["epochs"]
        elif kind == "batch":
            part = 0.75 * content["share"] if content["phase"] == "train" else 0.75  # training is the longer part
            run.epoch, run.share = content["epoch"], (content["epoch"] - 1 + part) / run.epochs
            run.figures = f"loss {content['loss']:.3f}  acc {content['acc']:.3f}  {content['rate']:,.0f} images/s"
        else:
            run.share = content["epoch"] / run.epochs
            run.figures = figures_of(content)
            if self._live is None:
                self._print(f"  {run.name}  epoch {content['epoch']}/{run.epochs}  {run.figures}")

    def end(self, slot: str, cell: Cell, error: BaseException | None = None) -> None:
        """A run is over; where `error` is why, it may be tried again."""
        del self._activities[slot]
        record = cell.read()
        if error is not None and record is not None and record.error is None:
            record = None  # it could not say why it failed: a full disk, say
        status = record.status if record is not None else Status.FAILED if error is not None else Status.COMPLETED
        self._counts[Status.RUNNING] -= 1
        self._counts[status] += 1
        self._ended[cell.number] = status
        self._done_here += 1
        if record is None:
            self._print(f"{cell.label}: {status}{f': {error}' if error else ''}", STYLES.get(status, ""))
            return
        value, sign = record.objective.value, 1 if record.objective.direction == "max" else -1
        if value is not None and (self._best is None or sign * value > sign * self._best[0]):
            self._best = value, cell.label
        self._print(f"{cell.label}: {verdict(record)}", STYLES.get(status, ""))

    def again(self, cell: Cell) -> None:
        """A cell that has just ended waits for another try."""
        self._counts[self._ended.pop(cell.number)] -= 1
        self._counts[Status.PENDING] += 1
        self._done_here -= 1

    def put_back(self, slot: str, cell: Cell, text: str) -> None:
        """A cell is no longer under way, though it has not ended either; `text` says why."""
        del self._activities[slot]
        self._counts[Status.RUNNING] -= 1
        self._counts[Status.PENDING] += 1
        self._print(f"{cell.label}: {text}")

    def note(self, text: str) -> None:
        """Say something of the sweep as a whole."""
        self._print(text, "dim")

    def refresh(self) -> None:
        """Bring the live table up to date."""
        if self._live is not None:
            self._live.update(self.overview())

    def overview(self) -> Overview:
        """The sweep now."""
        best = f"{self._best[1]}: {self._best[0]:.4f}" if self._best is not None else ""
        work = self.total - self.finished - self.failed
        share = (self._done_here + sum(run.share for run in self._activities.values())) / work if work else 1.0
        left = (time.monotonic() - self._began) * (1 / share - 1) if share > FORETELLING_SHARE else None
        return Overview(self.title, self._counts, list(self._activities.values()), best, left)

    def _print(self, text: str, style: str = "") -> None:
        self.console.print(Text(printable(text), style=style), soft_wrap=True)
