"""`scripts/search_study.py`: measure a part, or all of it, and write docs/search.md. Every part can be repeated."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.search_study import runs, statistics
from benchmarks.search_study.page import page
from sweeps.record.files import atomic_write, to_json


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what is asked for; returns the exit code."""
    args = _parser().parse_args(argv)
    output, docs = args.output, args.docs
    parts: dict[str, Callable[[], Any]] = {
        "statistics": lambda: statistics.measure(args.tables),
        "kills": lambda: runs.kills(output, args.kills, args.trials),
        "busy": lambda: runs.busy(output),
        "grid": lambda: runs.grid(output, args.seeds),
        "samplers": lambda: runs.samplers(output, args.seeds, args.trials),
    }
    docs.mkdir(parents=True, exist_ok=True)
    found = runs.kept(docs / "search.json")
    for name, measure in parts.items():
        if args.part in (name, "all"):
            found[name] = measure()
            atomic_write(docs / "search.json", (to_json(found, indent=1) + "\n").encode())
    atomic_write(docs / "search.md", page(found).encode())
    print(docs / "search.md")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="search_study",
        description="Measure pruning, search and statistics. On two cores: statistics minutes, kills and busy a "
        "quarter of an hour each, grid and samplers hours; whatever is stopped goes on when it is repeated.",
    )
    known = ("statistics", "kills", "busy", "grid", "samplers", "all", "page")
    parser.add_argument("part", choices=known, help="what to measure; page only writes docs/search.md again")
    parser.add_argument("--output", type=Path, default=Path("multirun/search_study"), help="where the sweeps lie")
    parser.add_argument("--docs", type=Path, default=Path(__file__).resolve().parents[3] / "docs")
    parser.add_argument("--seeds", type=_count, default=10, help="of the grid and of the samplers (default: 10)")
    parser.add_argument("--trials", type=_count, default=20, help="of each search (default: 20)")
    parser.add_argument("--kills", type=_count, default=10, help="how often the search is killed (default: 10)")
    parser.add_argument("--tables", type=_count, default=2000, help="simulated for each statistic (default: 2,000)")
    return parser


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is no whole number above 0")
    return int(text)
