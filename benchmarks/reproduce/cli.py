"""`scripts/reproduce.py`: train the book's table in pieces, and report. Never imports torch."""

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from benchmarks.reproduce.grid import Sweep, arguments, finished_runs, refuse_other_device
from benchmarks.reproduce.page import MARK, page
from benchmarks.reproduce.published import published
from benchmarks.reproduce.results import Results
from sweeps.errors import ConfigError, RecordError, SweepsError
from sweeps.record.files import atomic_write
from sweeps.record.identity import sweep_folder
from sweeps.record.records import RunRecord
from sweeps.vision.config import conf_dir

EXIT_FAILED = 1
EXIT_REFUSED = 2
EXIT_OUT_OF_TIME = 3
EXIT_INTERRUPTED = 130

# Keys that an option of this command sets.
_OPTIONS = {
    "model": "--models",
    "seed": "--seeds",
    "trainer.epochs": "--epochs",
    "device": "--device",
    "sweep": "--sweep",
    "output": "--runs",
}

_DESCRIPTION = """\
Train the book's seven networks by their recipes, several seeds each, as a sweep that goes on where it was; then add the
finished runs to results.json and make results.md from it, our figures beside the published ones."""

_EPILOG = """\
overrides, after --, go to the sweep as they are: -- hydra.launcher.runs_per_gpu=3 trainer.compile=default

in pieces: until scripts/reproduce.py --time-limit 540; do [ $? -eq 3 ] || break; done

exit codes: 0 all that was asked for is measured, 1 a run failed, 2 refused, 3 out of time: the same command goes on,
130 interrupted: likewise"""


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line asks for; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    cut = words.index("--") if "--" in words else len(words)
    parser = _parser()
    args = parser.parse_args(words[:cut])
    args.overrides = words[cut + 1 :]
    try:
        return _reproduce(args)
    except SweepsError as error:
        print(f"reproduce: {error}", file=sys.stderr)
        return EXIT_REFUSED


def _reproduce(args: argparse.Namespace) -> int:
    models = _models(args.models)
    _check_overrides(args.overrides)
    began = time.monotonic()
    runs = args.runs.absolute()
    folder = Path(sweep_folder(str(runs), args.sweep))
    _check_output(args.output)
    results = Results.read(args.output / "results.json")  # a file that cannot be added to is refused now, not in hours
    code = 0
    if not args.report_only:
        _make_folder(runs, "--runs")
        refuse_other_device(folder, args.sweep, args.device)
        options = {"device": args.device, "sweep": args.sweep, "output": runs.name}
        sweep = Sweep([*arguments(models, args.seeds, args.epochs, **options), *args.overrides], runs.parent)
        left = None if args.time_limit is None else args.time_limit - (time.monotonic() - began)
        code = _exit_code(sweep, sweep.run(left, args.grace))
        if code == EXIT_OUT_OF_TIME:
            print("reproduce: out of time; the same command goes on from here")
        results = Results.read(args.output / "results.json")  # somebody may have added to it meanwhile
    added = _add(results, finished_runs(folder))
    if not results.runs:
        if args.report_only:
            with contextlib.suppress(OSError):  # what is not empty stays
                args.output.rmdir()
            raise RecordError(f"there is nothing to report: no finished run in {folder}, and none in {args.output}")
        print("reproduce: no run is finished yet, so there is nothing to report", file=sys.stderr)
        return code
    for name, text in (("results.json", results.to_json()), ("results.md", page(results))):
        _write(args.output / name, text)
    print(f"reproduce: {args.output / 'results.json'} has {len(results.runs)} runs, {added} of them new; results.md")
    return code


def _add(results: Results, records: Sequence[RunRecord]) -> int:
    added = 0
    for record in records:
        try:
            added += results.add_record(record)
        except RecordError as error:
            print(f"reproduce: left out: {error}", file=sys.stderr)
    return added


def _exit_code(sweep: Sweep, code: int) -> int:
    if code == 0:
        return 0
    if sweep.was_asked:
        return EXIT_INTERRUPTED
    return EXIT_OUT_OF_TIME if sweep.ran_out else EXIT_FAILED


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_REFUSED, f"reproduce: {message} (--help tells more)\n")


def _parser() -> argparse.ArgumentParser:
    checkout = conf_dir().parent if (conf_dir().parent / "pyproject.toml").exists() else Path.cwd()
    parser = _Parser(
        prog="reproduce",
        usage="%(prog)s [option ...] [-- override ...]",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--models", metavar="NAME[,NAME]", default="all", help="networks (all)")
    parser.add_argument(
        "--seeds", metavar="N|N,N", type=_seeds, default="3", help="a number of seeds, or their list (3)"
    )
    parser.add_argument("--epochs", metavar="N", type=_count, default=10, help="epochs of a run (10)")
    parser.add_argument(
        "--time-limit", metavar="SECONDS", type=_seconds, help="then runs finish their epoch, and the sweep stops"
    )
    parser.add_argument(
        "--grace", metavar="SECONDS", type=_seconds, default=30.0, help="how long these epochs may take (30)"
    )
    parser.add_argument("--device", metavar="NAME", default="auto", help="auto, cpu, cuda, cuda:1, mps (auto)")
    parser.add_argument("--sweep", metavar="NAME", default="reproduce", help="the sweep's name (reproduce)")
    parser.add_argument(
        "--runs", metavar="DIR", type=Path, default=checkout / "multirun", help="where sweeps lie (multirun)"
    )
    parser.add_argument(
        "--output", metavar="DIR", type=Path, default=checkout / "docs", help="for results.json and results.md (docs)"
    )
    parser.add_argument("--report-only", action="store_true", help="train nothing; report the runs that there are")
    return parser


def _models(text: str) -> list[str]:
    known = list(published())
    wanted = known if text.strip() == "all" else [name.strip() for name in text.split(",") if name.strip()]
    if unknown := [name for name in wanted if name not in known]:
        raise ConfigError(f"--models: {', '.join(unknown)} is not known; known are all, {', '.join(known)}")
    if not wanted:
        raise ConfigError(f"--models names no network; known are all, {', '.join(known)}")
    return list(dict.fromkeys(wanted))


def _seeds(text: str) -> list[int]:
    """`3` is the seeds 0, 1 and 2; `7,` is the seed 7 alone."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdecimal() for part in parts) or text.strip() == "0":
        raise argparse.ArgumentTypeError(f"{text} is neither a number of seeds nor a list of them, such as 0,1,2")
    return list(range(int(text))) if "," not in text else list(dict.fromkeys(int(part) for part in parts))


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of 1 or more")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds above 0")
    return seconds


def _check_overrides(overrides: Sequence[str]) -> None:
    for override in overrides:
        key, equals, _ = override.lstrip("+~").partition("=")
        if not equals or key.startswith("-"):
            raise ConfigError(f"{override} after -- is no override; they look like trainer.compile=default")
        if key in _OPTIONS:
            raise ConfigError(f"{override} after -- is refused; use {_OPTIONS[key]}")


def _check_output(folder: Path) -> None:
    """See that the results can be written, and that no page is lost that somebody wrote by hand."""
    _make_folder(folder, "--output")
    page_file = folder / "results.md"
    try:
        text = page_file.read_text(encoding="utf-8") if page_file.exists() else MARK
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f"cannot read {page_file}: {error}; name another folder: --output DIR") from error
    if not text.startswith(MARK):
        raise RecordError(f"{page_file} was not made by this command and was left as it is; move it away")


def _make_folder(folder: Path, option: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecordError(f"{option}={folder} is no folder and cannot be made one ({error.strerror})") from error
    if not os.access(folder, os.W_OK):
        raise RecordError(f"{option}={folder} cannot be written; name another folder")


def _write(path: Path, text: str) -> None:
    try:
        atomic_write(path, text.encode())
    except OSError as error:
        raise RecordError(f"{path} cannot be written ({error.strerror}); the runs are kept: --report-only") from error
