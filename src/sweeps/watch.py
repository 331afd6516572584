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
from sweeps.launchers.slurm.ledger import Ledger, is_live
from sweeps.launchers.slurm.queue import Queue
from sweeps.launchers.view import Activity, Overview
from sweeps.record.identity import labels
from sweeps.record.lock import owner_of
from sweeps.record.records import RunRecord, Status, find_runs
from sweeps.results.format import number, whole
from sweeps.results.runs import UNREADABLE
from sweeps.terminal import clean
from sweeps.vision.config import lookup


def main(arguments: Sequence[str] | None = None) -> int:
    """Show the sweep until nothing is left to do, or once. Exit codes: 0 shown, 2 no such sweep."""
    parser = argparse.ArgumentParser(prog="python -m sweeps.watch", description="Show how a sweep stands.")
    parser.add_argument("folder", type=Path, help="a sweep's folder, such as multirun/lr_study")
    parser.add_argument(
        "--once", action="store_true", help="print it once; so it is where standard output is no terminal"
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
    """The sweep now, and whether somebody is at work on it.

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
    busy = owner is not None or bool(running) or bool(jobs)
    lines = [Text(clean(f"at work: {owner}"))] if owner else []
    if jobs:
        lines.append(Text("in Slurm's queue: " + ", ".join(f"{jobs[state]} {state.lower()}" for state in sorted(jobs))))
    if not busy or not lines:
        lines = [Text("somebody runs single cells" if running else "nobody is at work")]
    lines += [Text(f"unreadable: {clean(reason)}", style="bold red") for reason in unreadable]
    return Group(overview, *lines), busy


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
    epochs = _epochs_of(record)
    place = f"pid {record.process.pid}" if record.process is not None else ""
    last = record.metrics.get("last", {})
    known = [(key, number(last.get(key))) for key in ("train_loss", record.objective.metric)]
    figures = "  ".join(f"{key} {figure:.4f}" for key, figure in known if figure)
    return Activity(place, label, min(record.epochs + 1, epochs), epochs, record.epochs / max(epochs, 1), figures)


def _epochs_of(record: RunRecord) -> int:
    """How many epochs the run is to have; 0 where its record does not say."""
    return whole(lookup(record.config, "trainer.epochs")) or 0


def _best(records: Sequence[RunRecord], names: Mapping[str, str]) -> str:
    ranked = [record for record in records if number(record.objective.value) is not None]
    if not ranked:
        return ""
    sign = 1 if ranked[0].objective.direction == "max" else -1
    # Of equals the first one that ended, as the sweep itself shows it.
    best = max(
        sorted(ranked, key=lambda record: record.ended), key=lambda record: sign * (record.objective.value or 0.0)
    )
    return f"{names[best.name]}: {best.objective.value:.4f}"


def _seconds_left(records: Sequence[RunRecord], running: int) -> float | None:
    """What is left, at the pace of what is done; None while nothing is, or where nobody is at work."""
    paces: dict[str, list[float]] = {}
    for record in records:
        if record.epochs > 0:
            paces.setdefault(_network(record), []).append((number(record.seconds) or 0.0) / record.epochs)
    if not paces or not running:
        return None
    overall = mean(pace for group in paces.values() for pace in group)
    seconds = 0.0
    for record in records:
        if not record.status.is_finished and record.status is not Status.FAILED:
            left = max(_epochs_of(record) - record.epochs, 0)
            seconds += left * mean(paces.get(_network(record), [overall]))
    return seconds / running


def _network(record: RunRecord) -> str:
    return str(lookup(record.config, "model._target_"))


if __name__ == "__main__":
    sys.exit(main())
