"""What a sweep looks like while it runs: a live table on a terminal, plain lines elsewhere. Never imports torch."""

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

from sweeps.launchers.console import STYLES, Activity, metrics_of, step_of, verdict
from sweeps.launchers.runs import SweepRun
from sweeps.record.records import Status
from sweeps.results.format import metric, plural
from sweeps.terminal import clean, printable

SHARE_FOR_ESTIMATE = 0.05  # of the work must be done before the rest is estimated: the start is not like the rest


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
        text = Text(clean(f"{self.title}: {plural(sum(self.counts.values()), 'run')}"))
        for status in dict.fromkeys((*Status, *self.counts)):
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
        table.add_column(width=20 if any(run.max_steps for run in self.activities) else 0)
        table.add_column(no_wrap=True, justify="right")
        table.add_column(no_wrap=True)
        for run in self.activities:
            bar = ProgressBar(total=1.0, completed=run.share, width=20) if run.max_steps else ""
            step = "starting" if run.step is None else step_of(run.step, run.max_steps)
            table.add_row(Text(clean(run.place)), Text(clean(run.name)), bar, step, Text(printable(run.text)))
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

    `total` counts every run, `finished` those that were already complete, `failed` those that failed in an earlier
    launch.
    """

    title: str
    console: Console
    total: int
    finished: int = 0
    failed: int = 0
    _activities: dict[str, Activity] = field(default_factory=dict)
    _ended: dict[int, Status] = field(default_factory=dict)
    _best: tuple[float, str] | None = None
    _began: float = field(default_factory=time.monotonic)
    _live: Live | None = None

    def open(self) -> None:
        """Begin to show."""
        if self.console.is_terminal:
            self._live = Live(self.overview(), console=self.console, refresh_per_second=2, transient=True)
            self._live.start()

    def close(self) -> None:
        """Leave the terminal as a plain one."""
        if self._live is not None:
            self._live.stop()

    def start(self, slot: str, run: SweepRun) -> None:
        """A run was given to a worker."""
        self._activities[slot] = Activity(slot, run.label)

    def tell(self, slot: str, kind: str, content: Mapping[str, Any]) -> None:
        """What a run reports.

        Args:
            kind: `begin`, with `step` (steps already done), `max_steps` (or None) and `metric`, that of the objective;
                `update`, with `step` and `text`; `report`, with the row of metrics.
        """
        run = self._activities[slot]
        run.step = content["step"]
        if kind == "begin":
            run.max_steps, run.metric = content["max_steps"], content["metric"]
            if run.step:
                self._print(f"{run.name}: resuming from {step_of(run.step, None)}")
        elif kind == "update":
            run.text = content["text"]
        else:
            run.text = metrics_of(content, run.metric)
            if self._live is None and run.is_due(content["step"]):
                self._print(f"  {run.name}  {step_of(content['step'], run.max_steps)}  {run.text}".rstrip())

    def end(self, slot: str, run: SweepRun, error: BaseException | None = None) -> None:
        """A run is over; where `error` is why, it may be tried again."""
        del self._activities[slot]
        record = run.read()
        if error is not None and record is not None and record.error is None:
            record = None  # it could not write why it failed: a full disk, for example
        status = record.status if record is not None else Status.FAILED if error is not None else Status.COMPLETED
        self._ended[run.number] = status
        if record is None:
            self._print(f"{run.label}: {status}{f': {error}' if error else ''}", STYLES.get(status, ""))
            return
        value, direction = record.objective.value, record.objective.direction
        if value is not None and direction:
            sign = 1 if direction == "max" else -1
            if self._best is None or sign * value > sign * self._best[0]:
                self._best = value, run.label
        self._print(f"{run.label}: {verdict(record)}", STYLES.get(status, ""))

    def again(self, run: SweepRun) -> None:
        """A run that has just ended waits for another try."""
        del self._ended[run.number]

    def put_back(self, slot: str, run: SweepRun, text: str) -> None:
        """A run is no longer under way, though it has not ended either; `text` says why."""
        del self._activities[slot]
        self._print(f"{run.label}: {text}")

    def note(self, text: str) -> None:
        """Print something about the sweep as a whole."""
        self._print(text, "dim")

    def refresh(self) -> None:
        """Bring the live table up to date."""
        if self._live is not None:
            self._live.update(self.overview())

    def overview(self) -> Overview:
        """The sweep now."""
        best = f"{self._best[1]}: {metric(self._best[0])}" if self._best is not None else ""
        work = self.total - self.finished - self.failed
        share = (len(self._ended) + sum(run.share for run in self._activities.values())) / work if work else 1.0
        left = (time.monotonic() - self._began) * (1 / share - 1) if share > SHARE_FOR_ESTIMATE else None
        counts: Counter[str] = Counter(self._ended.values())
        counts += Counter({Status.COMPLETED: self.finished, Status.FAILED: self.failed})
        counts[Status.RUNNING] += len(self._activities)
        counts[Status.PENDING] = self.total - counts.total()
        return Overview(self.title, counts, list(self._activities.values()), best, left)

    def _print(self, text: str, style: str = "") -> None:
        self.console.print(Text(printable(text), style=style), soft_wrap=True)
