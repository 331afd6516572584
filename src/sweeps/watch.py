"""`python -m sweeps.watch DIR`: the live view of any sweep, from its records alone, from any shell or node.

Never imports torch.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from sweeps.errors import ConfigError, RecordError, SweepsError
from sweeps.launchers.console import metric_text, metrics_of
from sweeps.launchers.slurm.ledger import Ledger, is_live
from sweeps.launchers.slurm.queue import Queue
from sweeps.launchers.view import Activity, Overview
from sweeps.record.identity import labels
from sweeps.record.lock import owner_of
from sweeps.record.records import RunRecord, Status, find_runs
from sweeps.results.format import number
from sweeps.results.runs import UNREADABLE
from sweeps.terminal import clean


def main(arguments: Sequence[str] | None = None) -> int:
    """Show the sweep until nothing is left to do, or once. Exit codes: 0 shown, 2 no such sweep."""
    parser = argparse.ArgumentParser(prog="python -m sweeps.watch", description="Show how a sweep stands.")
    parser.add_argument("folder", type=Path, help="a sweep's folder, such as multirun/lr_study")
    parser.add_argument(
        "--once", action="store_true", help="print it once, which is the default where standard output is no terminal"
    )
    parser.add_argument(
        "--interval", type=_seconds, default=2.0, metavar="SECONDS", help="between two looks (default: 2)"
    )
    options = parser.parse_args(arguments)
    console = Console()
    try:
        if options.once or not console.is_terminal:
            console.print(look(options.folder)[0], soft_wrap=True)
            return 0
        page, busy = look(options.folder)
        with Live(page, console=console, auto_refresh=False) as live:
            while busy:
                time.sleep(options.interval)
                page, busy = look(options.folder)
                live.update(page, refresh=True)
    except SweepsError as error:
        print(f"error: {clean(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0
    return 0


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds above 0")
    return seconds


def look(folder: Path) -> tuple[Group, bool]:
    """The sweep now, and whether anything is running or waits in a queue.

    Raises:
        RecordError: there is no such folder, or no run in it.
    """
    records: list[RunRecord] = []
    unreadable: list[str] = []
    for run in find_runs(folder):
        try:
            records.append(run.read())
        except RecordError as error:
            unreadable.append(str(error))
    if not records and not unreadable:
        raise RecordError(f"{folder} holds no runs; name a sweep's folder, such as multirun/lr_study")
    names = dict(zip((r.name for r in records), labels([r.overrides for r in records]), strict=True)) if records else {}
    owner, jobs = owner_of(folder), _jobs_of(folder)
    counts = Counter(str(record.status) for record in records)
    if unreadable:
        counts[UNREADABLE] = len(unreadable)
    running = [_activity(record, names[record.name]) for record in records if record.status is Status.RUNNING]
    overview = Overview(folder.name, counts, running, _best(records, names), _seconds_left(records, len(running)))
    lines = [Text(clean(f"launched by {owner}"))] if owner else []
    if jobs:
        lines.append(Text("in Slurm's queue: " + ", ".join(f"{jobs[state]} {state.lower()}" for state in sorted(jobs))))
    if not lines:
        lines = [Text("single runs" if running else "idle")]
    lines += [Text(f"unreadable: {clean(reason)}", style="bold red") for reason in unreadable]
    return Group(overview, *lines), owner is not None or bool(running) or bool(jobs)


def _jobs_of(folder: Path) -> Counter[str]:
    """How many jobs of the sweep wait and run in Slurm's queue, where this machine has one, by their states."""
    ledger = Ledger(folder)
    if not ledger.folder.is_dir():
        return Counter()
    try:
        entries = Queue().look()
    except ConfigError:  # another machine, or a controller that is away
        return Counter()
    jobs = [entries[job] for job in ledger.jobs(entries).values() if is_live(job, entries)]
    return Counter(job.state for job in jobs)


def _activity(record: RunRecord, label: str) -> Activity:
    place = f"pid {record.process.pid}" if record.process is not None else ""
    text = metrics_of(record.metrics.get("last", {}), record.objective.metric)
    return Activity(place, label, record.steps, record.max_steps, text)


def _best(records: Sequence[RunRecord], names: Mapping[str, str]) -> str:
    """The best run of the objective of most runs: of equals the first one that ended, as the sweep itself shows it."""
    valued = [record for record in records if number(record.objective.value) is not None and record.objective.direction]
    if not valued:
        return ""
    of = Counter(_objective(record) for record in valued).most_common(1)[0][0]
    sign = 1 if of[1] == "max" else -1
    best = max(
        sorted((record for record in valued if _objective(record) == of), key=lambda record: record.ended),
        key=lambda record: sign * (record.objective.value or 0.0),
    )
    return f"{names[best.name]}: {best.objective.name} {metric_text(best.objective.value or 0.0)}"


def _objective(record: RunRecord) -> tuple[str, str]:
    return record.objective.metric, record.objective.direction


def _seconds_left(records: Sequence[RunRecord], running: int) -> float | None:
    """What is left, at the pace of each setting's other seeds, else of all runs; None where that is unknown."""
    paces: dict[str, list[float]] = {}
    for record in records:
        if record.steps:
            paces.setdefault(record.setting_id, []).append(record.seconds / record.steps)
    waiting = [one for one in records if not one.status.is_finished and one.status is not Status.FAILED]
    if not paces or not running or any(record.max_steps is None for record in waiting):
        return None
    overall = mean(pace for group in paces.values() for pace in group)
    left = [(record, max((record.max_steps or 0.0) - (record.steps or 0.0), 0.0)) for record in waiting]
    return sum(steps * mean(paces.get(record.setting_id, [overall])) for record, steps in left) / running


if __name__ == "__main__":
    sys.exit(main())
