"""The command: reads sweeps, writes a page and its figures, once or while a sweep runs. Never imports torch."""

import argparse
import importlib.util
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NoReturn

from sweeps.errors import ConfigError, RecordError, SweepsError
from sweeps.record.files import atomic_write
from sweeps.record.lock import owner_of
from sweeps.record.records import Status
from sweeps.report.content import Content, read
from sweeps.results.format import clean
from sweeps.results.looks import note_look

NAME = "report.html"
_NEEDED = {"altair": "altair", "vl_convert": "vl-convert-python", "jinja2": "jinja2"}


def main(argv: Sequence[str] | None = None) -> int:
    """Write the report; returns the exit code: 0, or 2 with one line on stderr."""
    args = _parser().parse_args(argv)
    try:
        _check_extra()
        target = args.output or args.folders[0] / NAME
        while True:
            content = read(args.folders)
            busy = args.watch is not None and _is_busy(content)
            write(content, target, figures=not args.no_figures, refresh=args.watch if busy else None)
            print(f"{datetime.now():%H:%M:%S} {target}" if args.watch is not None else target, flush=True)
            if not busy:
                return 0
            time.sleep(args.watch)
    except SweepsError as error:
        print(f"report: {clean(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0


def write(content: Content, target: Path, *, figures: bool = True, refresh: float | None = None) -> None:
    """Write the page to `target`, and every chart as SVG, PDF and PNG into a folder of its name beside it.

    Raises:
        RecordError: it cannot be written there.
    """
    from sweeps.report import render  # altair and vl-convert: a second that --help must not cost
    from sweeps.report.charts import unchecked
    from sweeps.report.figures import figures_of
    from sweeps.report.page import page
    from sweeps.report.panels import figures_in, panels_of

    with unchecked():
        panels = list(panels_of([(row.path, row.record) for row in content.rows if row.record]))
        wanted = [*figures_of(content), *figures_in(panels)]
        pictures = render.draw(wanted)
    drawn = {id(picture.figure) for picture in pictures}
    for left_out in (figure for figure in wanted if id(figure) not in drawn):
        print(f"report: the chart {left_out.name} cannot be drawn and is left out", file=sys.stderr)
    made = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")
    try:
        if figures:
            render.save(pictures, target.with_suffix(""), f"../{target.name}")
        text = page(content, pictures, panels, base=target.parent, made=made, refresh=refresh)
        note_look(content.judged)
        atomic_write(target, text.encode("utf-8", errors="replace"), durable=False)
    except OSError as error:
        raise RecordError(
            f"{target} cannot be written ({error.strerror}); name a file in a folder that exists: --output FILE.html"
        ) from error


def _is_busy(content: Content) -> bool:
    """Whether any of these runs, or a command that owns their sweeps, is still running."""
    folders = {row.path.parent for row in content.rows} | set(content.folders)
    running = any(row.status == Status.RUNNING for row in content.rows)
    return running or any(owner_of(folder) is not None for folder in folders)


def _check_extra() -> None:
    missing = [package for module, package in _NEEDED.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise ConfigError(f"a report needs {' and '.join(missing)}: pip install 'hydra-sweeps[report]'")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"report: {message} (see --help)\n")


def _parser() -> argparse.ArgumentParser:
    description = "One page and its figures from one or more sweeps, finished or not."
    parser = _Parser(prog="python -m sweeps report", description=description)
    add = parser.add_argument
    add("folders", metavar="DIR", nargs="+", type=Path, help="a sweep's folder: multirun/lr_study")
    add("--output", metavar="FILE", type=Path, help=f"the page (default: {NAME} in the first folder)")
    add("--no-figures", action="store_true", help="the page alone, without SVG, PDF and PNG files")
    again = "write it again every so many seconds (default: 30) until the sweep is over"
    add("--watch", metavar="SECONDS", nargs="?", type=_seconds, const=30.0, help=again)
    return parser


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds; DIR --watch, or --watch=30 DIR") from None
    if not 1 <= seconds <= 86_400:
        raise argparse.ArgumentTypeError(f"--watch={text} is invalid: 1 to 86400 seconds")
    return seconds
