"""`scripts/summarize.py DIR`, also `python -m sweeps.summarize DIR`: the ranked table of a sweep."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn, TextIO

from rich.console import Console
from rich.text import Text

from sweeps.errors import ConfigError, RecordError, SweepsError
from sweeps.record.files import atomic_write
from sweeps.results import export, tables
from sweeps.results.columns import columns_of, curve_column, find_column, sort_rows
from sweeps.results.compare import compare
from sweeps.results.format import clean
from sweeps.results.ranking import rank, sentences
from sweeps.results.runs import RunRow, load
from sweeps.results.settings import Setting, group_by
from sweeps.results.table import Table

FORMATS = ("table", "csv", "json", "md", "latex")
_ALIASES = {"markdown": "md", "tex": "latex"}
_SUFFIXES = {".csv": "csv", ".json": "json", ".md": "md", ".markdown": "md", ".tex": "latex"}
_UNLIMITED = 100_000  # columns where no terminal sets a limit: a file or a pipe gets whole lines


def main(argv: Sequence[str] | None = None) -> int:
    """Print the summary; returns the exit code: 0, or 2 with one line on stderr."""
    args = _parser().parse_args(argv)
    if args.format is None:
        args.format = "table" if args.output is None else _SUFFIXES.get(args.output.suffix.lower(), "table")
    try:
        if args.curves and args.format == "latex":
            raise ConfigError("--curves draws with characters that LaTeX lacks; python -m sweeps.report makes figures")
        rows = rank(load(args.folders))
        text = _answer(rows, args)
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
    parser = _Parser(
        prog="python -m sweeps.summarize", description="Rank the runs of one or more sweeps by their objective."
    )
    parser.add_argument("folders", metavar="DIR", nargs="+", help="a sweep's folder, such as multirun/lr_study")
    parser.add_argument("--sort", metavar="KEY", help="order by a column or setting: lr, seconds, optim.momentum")
    parser.add_argument(
        "--group-by", metavar="KEY[,KEY]", help="mean, std and n of the runs that agree in these: model,lr"
    )
    parser.add_argument(
        "--compare",
        metavar=("A", "B"),
        nargs=2,
        help="is A better than B? Each names a setting: nin, or model=nin,optim.lr=0.1",
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        type=lambda name: _ALIASES.get(name, name),
        help="csv and json have all digits; without it --output decides by its suffix, else it is table",
    )
    parser.add_argument("--output", metavar="FILE", type=Path, help="write to a file instead of the terminal")
    parser.add_argument("--curves", action="store_true", help="a column with the objective's curve, report by report")
    parser.add_argument("--all-metrics", action="store_true", help="a column for every metric of the last report")
    return parser


def _answer(rows: list[RunRow], args: argparse.Namespace) -> str:
    if args.compare:
        return _compared(rows, args)
    return _grouped(rows, args) if args.group_by else _ranked(rows, args)


def _compared(rows: list[RunRow], args: argparse.Namespace) -> str:
    if args.group_by or args.sort or args.format in ("csv", "latex"):
        raise ConfigError(
            "--compare answers in a sentence: leave out --group-by and --sort, and choose --format table, md or json"
        )
    comparison = compare(rows, *args.compare)
    if args.format == "json":
        return export.comparison_to_json(comparison)
    lines = [comparison.sentence, *comparison.notes]
    if args.format == "md":
        return "\n\n".join(lines) + "\n"
    console = _console(args)
    with console.capture() as capture:
        for line in lines:
            console.print(Text(line))
    return capture.get()


def _ranked(rows: list[RunRow], args: argparse.Namespace) -> str:
    columns = columns_of(rows, args.all_metrics)
    if args.curves:
        columns.insert([column.key for column in columns].index("status"), curve_column(rows))
    if args.sort:
        rows = sort_rows(rows, find_column(args.sort, "--sort", rows, columns))
    if args.format == "json":
        return export.to_json(rows, columns)
    if args.format == "csv":
        _warn(rows)
        return export.to_csv([export.run_fields(row, columns) for row in rows])
    return _as_text(tables.summary(rows, columns), args)


def _grouped(rows: list[RunRow], args: argparse.Namespace) -> str:
    columns = columns_of(rows, args.all_metrics)
    wanted = [key.strip() for key in args.group_by.split(",")]
    keys = [find_column(key, "--group-by", rows, columns) for key in dict.fromkeys(wanted)]
    groups = group_by(rows, keys)
    if args.sort:
        groups = _sorted_groups(groups, args.sort)
    if args.format == "json":
        return export.groups_to_json(rows, groups, keys)
    if args.format == "csv":
        _warn(rows)
        return export.to_csv([export.setting_fields(group) for group in groups])
    failures = tables.failures_table(rows)
    return _as_text([table for table in (tables.settings_table(rows, groups, keys), failures) if table], args)


def _sorted_groups(groups: list[Setting], wanted: str) -> list[Setting]:
    """Groups by one of their own columns, ascending, blanks last."""
    fields = {id(group): export.setting_fields(group) for group in groups}
    known = list(fields[id(groups[0])])
    if wanted not in known:
        raise ConfigError(f"--sort={clean(wanted)} is no column of these groups; known: {', '.join(known)}")

    def key(group: Setting) -> tuple[bool, bool, float, str]:
        value = fields[id(group)][wanted]
        is_number = isinstance(value, (int, float))
        return value is None, not is_number, value if is_number else 0.0, clean(value)

    return sorted(groups, key=key)


def _as_text(found: list[Table], args: argparse.Namespace) -> str:
    if args.format == "md":
        return export.to_markdown(found)
    if args.format == "latex":
        return export.to_latex(found)
    console = _console(args)
    with console.capture() as capture:
        tables.print_tables(console, found)
    return capture.get()


def _console(args: argparse.Namespace) -> Console:
    is_terminal = args.output is None and sys.stdout.isatty()
    has_width = args.output is None and os.environ.get("COLUMNS", "").strip("0").isdigit()
    return Console(
        file=sys.stdout if args.output is None else None,
        no_color=None if is_terminal else True,
        force_terminal=is_terminal,
        width=None if is_terminal or has_width else _UNLIMITED,
    )


def _warn(rows: Sequence[RunRow]) -> None:
    """On stderr what CSV has no place for: the choice, and each problem."""
    for line in (*sentences(rows), *(f"{row.name}: {row.problem}" for row in rows if row.is_troubled)):
        print(f"summarize: {clean(line)}", file=sys.stderr)


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
    """Print `text`; a reader that had enough (`| head`) is no error."""
    try:
        _encodable(sys.stdout)
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _encodable(stream: TextIO) -> None:
    """Let a terminal that lacks a character show `?` instead of ending the program."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="replace")


if __name__ == "__main__":
    sys.exit(main())
