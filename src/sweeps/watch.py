"""`python -m sweeps watch DIR` and `wait DIR`: how a sweep stands, from its records alone, from any shell or node.

Never imports torch.
"""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from sweeps.errors import ConfigError, SweepsError
from sweeps.launchers.console import Activity, metrics_of
from sweeps.launchers.slurm.ledger import Ledger, is_live
from sweeps.launchers.slurm.queue import Queue
from sweeps.launchers.view import Overview
from sweeps.record.files import to_json
from sweeps.record.identity import labels
from sweeps.record.lock import owner_of
from sweeps.record.records import Status
from sweeps.results.format import metric
from sweeps.results.looks import Looks
from sweeps.results.ranking import rank
from sweeps.results.runs import UNREADABLE, RunRow, load
from sweeps.results.settings import BEST, NOT_BEST, UNSTABLE, judged, settings_of
from sweeps.terminal import clean

_ENDS = ("done", "failed", "decided")  # of `wait`


def main(arguments: Sequence[str] | None = None) -> int:
    """Show the sweep until nothing is left to do, or once. Exit codes: 0 shown, 2 no such sweep."""
    parser = argparse.ArgumentParser(prog="python -m sweeps watch", description="Show how a sweep stands.")
    parser.add_argument("folder", type=Path, help="a sweep's folder, such as multirun/lr_study")
    once = "print it once, which is the default where standard output is no terminal"
    parser.add_argument("--once", action="store_true", help=once)
    events = "what happens, one JSON object a line: run, look, end"
    parser.add_argument("--events", action="store_true", help=events)
    between = "between two looks (default: 2)"
    parser.add_argument("--interval", type=seconds, default=2.0, metavar="SECONDS", help=between)
    options = parser.parse_args(arguments)
    console = Console()
    try:
        if options.events:
            _print_events(options.folder, options.interval)
            return 0
        page, busy = look(options.folder)
        if options.once or not console.is_terminal:
            console.print(page, soft_wrap=True)
            return 0
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
    except BrokenPipeError:  # a reader that had enough: `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def seconds(text: str) -> float:
    """A number of seconds above 0, from a command line."""
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds above 0")
    return found


def look(folder: Path) -> tuple[Group, bool]:
    """The sweep now, and whether anything is running or waits in a queue.

    Raises:
        RecordError: there is no such folder, or no run in it.
    """
    rows = rank(load([folder]))
    names = dict(zip((row.path for row in rows), labels([row.name.split(",") for row in rows]), strict=True))
    owner, jobs = owner_of(folder), _jobs_of(folder)
    running = [
        Activity(row.process, names[row.path], row.steps, row.max_steps, metrics_of(row.last, row.metric))
        for row in rows
        if row.status == Status.RUNNING
    ]
    ranked = (row for row in rows if row.objective and row.objective.is_ranked and not row.is_survivor)
    best = [f"{names[row.path]}: {row.metric} {metric(row.value)}" for row in ranked if row.value is not None]
    counts = Counter(row.status for row in rows)
    overview = Overview(folder.name, counts, running, best[0] if best else "", _seconds_left(rows, len(running)))
    lines = [Text(clean(f"launched by {owner}"))] if owner else []
    if jobs:
        lines.append(Text("in Slurm's queue: " + ", ".join(f"{jobs[state]} {state.lower()}" for state in sorted(jobs))))
    if not lines:
        lines = [Text("single runs" if running else "idle")]
    lines += [Text(f"unreadable: {row.problem}", style="bold red") for row in rows if row.status == UNREADABLE]
    return Group(overview, *lines), owner is not None or bool(running) or bool(jobs)


def is_busy(folder: Path) -> bool:
    """Whether a command works at the sweep, a run is running, or one waits in a queue."""
    running = any(row.status == Status.RUNNING for row in load([folder]))
    return owner_of(folder) is not None or running or bool(_jobs_of(folder))


def _print_events(folder: Path, interval: float) -> None:
    """Print how each run stands whenever that changes, each look at the results, and in the end how many there are.

    The first lines say how everything stood when the command was given. Ends with the sweep.
    """
    shown: dict[Path, tuple[str, float | None]] = {}
    known = 0
    while True:
        busy, rows = is_busy(folder), load([folder])  # in this order: what ended in between is in the rows
        for row in rows:
            if shown.get(row.path) != (state := (row.status, row.steps)):
                shown[row.path] = state
                of_run = {
                    "run": row.name,
                    "setting_id": row.setting_id,
                    "status": row.status,
                    "step": row.steps,
                    "value": row.value,
                }
                _print_event("run", **of_run, problem=row.problem or None)
        looks = Looks(folder).at_results
        for one in looks[known:]:
            _print_event("look", by=one.by, seeds=dict(one.seeds), out=dict(one.out))
        known = len(looks)
        if not busy:
            _print_event("end", counts=Counter(row.status for row in rows))
            return
        time.sleep(interval)


def _print_event(event: str, **fields: Any) -> None:
    print(to_json({"event": event, **fields}), flush=True)


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


def _seconds_left(rows: Sequence[RunRow], running: int) -> float | None:
    """What is left, at the pace of each setting's other seeds, else of all runs; None where that is unknown."""
    paces: dict[str, list[float]] = {}
    for row in rows:
        if row.steps and row.seconds:
            paces.setdefault(row.setting_id, []).append(row.seconds / row.steps)
    waiting = [row for row in rows if row.is_unfinished]
    if not paces or not running or any(row.max_steps is None for row in waiting):
        return None
    overall = mean(pace for group in paces.values() for pace in group)
    left = [(row, max((row.max_steps or 0.0) - (row.steps or 0.0), 0.0)) for row in waiting]
    return sum(steps * mean(paces.get(row.setting_id, [overall])) for row, steps in left) / running


def wait_main(argv: Sequence[str] | None = None) -> int:
    """Wait for a sweep; returns 0 once it is so, 1 if it cannot be any more, 3 after the timeout, 2 for an error."""
    parser = argparse.ArgumentParser(
        prog="python -m sweeps wait",
        description="Wait for a sweep. Exit codes: 0 it is so, 1 the sweep has ended otherwise, 3 timeout, 2 an error.",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="a sweep's folder, such as multirun/lr_study")
    ends = "done: nothing is left to do; failed: some run has failed; decided: one setting is shown to be the best"
    parser.add_argument("--until", choices=_ENDS, default="done", help=f"{ends} (default: done)")
    parser.add_argument("--timeout", type=seconds, metavar="SECONDS", help="give up after so long")
    parser.add_argument("--interval", type=seconds, metavar="SECONDS", default=2.0, help="between looks (default: 2)")
    args = parser.parse_args(argv)
    end = None if args.timeout is None else time.monotonic() + args.timeout
    try:
        while True:
            if end is not None and not args.folder.exists() and time.monotonic() < end:
                time.sleep(args.interval)  # it may be about to start
                continue
            if _has_come(args.folder, args.until):
                return 0
            if not is_busy(args.folder) and not _has_come(args.folder, args.until):  # it may have ended in between
                print(f"wait: {args.folder} is not {args.until}, and nothing works at it", file=sys.stderr)
                return 1
            if end is not None and time.monotonic() > end:
                print(f"wait: {args.folder} is not {args.until} after {args.timeout:g} s", file=sys.stderr)
                return 3
            time.sleep(args.interval)
    except SweepsError as error:
        print(f"wait: {clean(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _has_come(folder: Path, until: str) -> bool:
    rows = load([folder])
    if until == "failed":
        return any(row.status == Status.FAILED for row in rows)
    if until == "done":
        return all(row.is_finished for row in rows) and not is_busy(folder)
    if (looks := Looks(folder)).has_race:
        return any(look.decided for look in looks.all)
    standings = [one.standing for one in judged(settings_of(rows))]
    others = [standing for standing in standings if standing != BEST]
    is_over = not any(row.is_unfinished for row in rows)
    return is_over and len(others) == len(standings) - 1 and set(others) <= {NOT_BEST, UNSTABLE}


if __name__ == "__main__":
    sys.exit(main())
