"""`scripts/summarize.py DIR`, also `python -m sweeps.summarize DIR`: the ranked table of a sweep."""

import argparse
import io
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console, RenderableType
from rich.text import Text

from sweeps.errors import ConfigError, RecordError, SweepsError
from sweeps.record.files import atomic_write
from sweeps.results import export, tables
from sweeps.results.columns import Column, columns_of, find_column, sort_key, sort_rows
from sweeps.results.compare import compare
from sweeps.results.format import BLANK, clean, number, sparkline
from sweeps.results.looks import note_look
from sweeps.results.ranking import objectives, rank, sentences
from sweeps.results.runs import RunRow, load
from sweeps.results.settings import Setting, group_by, settings_of
from sweeps.results.table import Table

FORMATS = ("table", "csv", "json", "md", "latex")
_ALIASES = {"markdown": "md", "tex": "latex"}
_SUFFIXES = {".csv": "csv", ".json": "json", ".md": "md", ".markdown": "md", ".tex": "latex"}


def main(argv: Sequence[str] | None = None) -> int:
    """Print the summary; returns the exit code: 0, or 2 with one line on stderr."""
    args = _parser().parse_args(argv)
    if args.format is None:
        args.format = "table" if args.output is None else _SUFFIXES.get(args.output.suffix.lower(), "table")
    try:
        rows = rank(load(args.folders))
        answer = _compared if args.compare else _grouped if args.group_by else _ranked
        text = answer(rows, args)
        if not args.group_by:
            note_look(settings_of(rows), final=bool(args.compare))
        if args.output is not None:
            _write(args.output, text)
            return 0
    except SweepsError as error:
        print(f"summarize: {clean(error)}", file=sys.stderr)
        return 2
    _print(text)
    return 0


def compare_main(argv: Sequence[str] | None = None) -> int:
    """`python -m sweeps compare DIR A B`, which is `summarize DIR --compare A B`."""
    parser = _Parser(prog="python -m sweeps compare", description="Is one setting of a sweep better than another?")
    parser.add_argument("folders", metavar="DIR", nargs="+", help="a sweep's folder, such as multirun/lr_study")
    parser.add_argument("first", metavar="A", help="a setting: nin, or model=nin,optim.lr=0.1")
    parser.add_argument("second", metavar="B", help="another one")
    parser.add_argument("--format", choices=("table", "json", "md"), default="table", help="json has all digits")
    args = parser.parse_args(argv)
    return main([*args.folders, "--compare", args.first, args.second, "--format", args.format])


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"summarize: {message} (see --help)\n")


def _parser() -> argparse.ArgumentParser:
    description = "Rank the runs of one or more sweeps by their objective."
    parser = _Parser(prog="python -m sweeps summarize", description=description)
    add = parser.add_argument
    add("folders", metavar="DIR", nargs="+", help="a sweep's folder, such as multirun/lr_study")
    add("--sort", metavar="KEY", help="order by a column or setting: lr, seconds, optim.momentum")
    add("--group-by", metavar="KEY[,KEY]", help="mean, std and n of the runs that agree in these: model,lr")
    which = "is A better than B? Each names a setting: nin, or model=nin,optim.lr=0.1"
    add("--compare", metavar=("A", "B"), nargs=2, help=which)
    digits = "csv and json have all digits; without it --output decides by its suffix, else it is table"
    add("--format", choices=FORMATS, type=lambda name: _ALIASES.get(name, name), help=digits)
    add("--output", metavar="FILE", type=Path, help="write to a file instead of the terminal")
    add("--curves", action="store_true", help="a column with the objective's curve, report by report")
    add("--all-metrics", action="store_true", help="a column for every metric of the last report")
    return parser


def _compared(rows: list[RunRow], args: argparse.Namespace) -> str:
    if args.group_by or args.sort or args.format in ("csv", "latex"):
        raise ConfigError(
            "--compare answers in a sentence: leave out --group-by and --sort, and choose --format table, md or json"
        )
    comparison = compare(rows, *args.compare)
    if args.format == "json":
        return export.dump(comparison.fields())
    lines = [comparison.sentence, *comparison.notes]
    return "\n\n".join(lines) + "\n" if args.format == "md" else _printed(map(Text, lines), args)


def _ranked(rows: list[RunRow], args: argparse.Namespace) -> str:
    if args.curves and args.format == "latex":
        raise ConfigError("--curves draws with characters that LaTeX lacks; python -m sweeps.report makes figures")
    columns = columns_of(rows, args.all_metrics)
    if args.curves:
        columns.insert([column.key for column in columns].index("status"), _curve_column(rows))
    if args.sort:
        rows = sort_rows(rows, find_column(args.sort, "--sort", rows, columns))
    if args.format == "json":
        return export.to_json(rows, columns)
    if args.format == "csv":
        return _as_csv(rows, [export.run_fields(row, columns) for row in rows])
    return _as_text(tables.summary(rows, columns), args)


def _curve_column(rows: Sequence[RunRow]) -> Column:
    """The objective report by report: a sparkline on a terminal, the values in an export.

    All runs with the same objective share a scale, so that their curves compare.
    """
    curves = {row.path: _curve(row) for row in rows}
    values: dict[str, list[float]] = {}
    for row in rows:
        values.setdefault(row.objective.metric if row.objective else "", []).extend(curves[row.path])

    def show(row: RunRow) -> str:
        curve, of = curves[row.path], values[row.objective.metric if row.objective else ""]
        return sparkline(curve, min(of), max(of)) if curve else BLANK

    header = "/".join(dict.fromkeys(objective.name for objective in objectives(rows))) or "curve"
    return Column("curve", header, lambda row: curves[row.path], show, right=False)


def _curve(row: RunRow) -> list[float]:
    metric = row.objective.metric if row.objective else ""
    return [value for report in row.reports()[0] if (value := number(report.get(metric))) is not None]


def _grouped(rows: list[RunRow], args: argparse.Namespace) -> str:
    columns = columns_of(rows, args.all_metrics)
    wanted = dict.fromkeys(key.strip() for key in args.group_by.split(","))
    keys = [find_column(key, "--group-by", rows, columns) for key in wanted]
    groups = group_by(rows, keys)
    if args.sort:
        groups = _sorted_groups(groups, args.sort)
    if args.format == "json":
        return export.groups_to_json(rows, groups, keys)
    if args.format == "csv":
        return _as_csv(rows, [export.setting_fields(group) for group in groups])
    failures = tables.failures_table(rows)
    return _as_text([table for table in (tables.settings_table(rows, groups, keys), failures) if table], args)


def _sorted_groups(groups: list[Setting], wanted: str) -> list[Setting]:
    """Groups by one of their own columns, ascending, blanks last."""
    known = list(export.setting_fields(groups[0]))
    if wanted not in known:
        raise ConfigError(f"--sort={clean(wanted)} is no column of these groups; known: {', '.join(known)}")
    values = [export.setting_fields(group)[wanted] for group in groups]
    order = sorted(range(len(groups)), key=lambda at: sort_key(values[at], clean(values[at])))
    return [groups[at] for at in order]


def _as_text(found: list[Table], args: argparse.Namespace) -> str:
    if args.format == "md":
        return export.to_markdown(found)
    if args.format == "latex":
        return export.to_latex(found)
    return _printed([part for table in found for part in ("", table)][1:], args)


def _printed(parts: Iterable[RenderableType], args: argparse.Namespace) -> str:
    """What a terminal of this width gets; a file or a pipe gets whole lines."""
    is_terminal = args.output is None and sys.stdout.isatty()
    has_width = args.output is None and os.environ.get("COLUMNS", "").strip("0").isdigit()
    console = Console(
        file=sys.stdout if args.output is None else None,
        no_color=None if is_terminal else True,
        force_terminal=is_terminal,
        width=None if is_terminal or has_width else 100_000,
    )
    with console.capture() as capture:
        for part in parts:
            console.print(part, crop=False)
    return capture.get()


def _as_csv(rows: Sequence[RunRow], records: list[dict[str, Any]]) -> str:
    """CSV, and on stderr what it has no place for: the choice, and each problem."""
    for line in (*sentences(rows), *(f"{row.name}: {row.problem}" for row in rows if row.is_troubled)):
        print(f"summarize: {clean(line)}", file=sys.stderr)
    return export.to_csv(records)


def _write(path: Path, text: str) -> None:
    if path.exists() and not path.is_file():
        raise RecordError(f"--output={path} is not an ordinary file; leave --output out to print")
    try:
        atomic_write(path, text.encode())
    except OSError as error:
        raise RecordError(
            f"--output={path} cannot be written ({error.strerror}); name a file in a folder that exists"
        ) from error


def _print(text: str) -> None:
    """Print `text`; a reader that had enough (`| head`) is no error, nor is a terminal that lacks a character."""
    try:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
