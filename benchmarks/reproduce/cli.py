"""`scripts/reproduce.py`: train the book's table in pieces, and report. Never imports torch."""

import argparse
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_INVALID,
    ROOT,
    Parser,
    check_names,
    count,
    environment,
    names,
    split,
    write,
)
from benchmarks.reproduce.page import MARK, page
from benchmarks.reproduce.published import published
from benchmarks.reproduce.results import Results, network_of
from sweeps.errors import RecordError, SweepsError
from sweeps.launchers.local.slots import available_cores, visible_gpus
from sweeps.record.identity import sweep_folder
from sweeps.record.records import Status, find_runs

EXIT_OUT_OF_TIME = 3
BN_REESTIMATE = 50  # batches; does nothing to a network without BatchNorm
TABLE_RUNS = 21  # 7 networks x 3 seeds
GRACE = 30.0  # seconds that runs may take to finish their epoch

_DESCRIPTION = """\
Train the book's seven networks by their recipes, several seeds each, as an ordinary sweep, which is resumed when the
command is repeated; then add the finished runs to results.json and make results.md from it, our figures beside the
published ones."""

_EPILOG = """\
overrides, after --, go to the sweep as they are: -- hydra.launcher.runs_per_gpu=3 trainer.compile=default

in pieces: until scripts/reproduce.py --time-limit 540; do [ $? -eq 3 ] || break; done

exit codes: 0 all that was asked for is measured, 1 a run failed, 2 invalid, 3 out of time: the same command resumes it,
130 interrupted: likewise"""


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line asks for; returns the exit code."""
    words, overrides = split(argv)
    args = _parser().parse_args(words)
    try:
        return _reproduce(args, overrides)
    except SweepsError as error:
        print(f"reproduce: {error}", file=sys.stderr)
    except OSError as error:
        print(f"reproduce: {error.filename}: {error.strerror}; name another folder", file=sys.stderr)
    return EXIT_INVALID


def _reproduce(args: argparse.Namespace, overrides: Sequence[str]) -> int:
    known = list(published())
    check_names("--models", args.models or (), known)
    runs, output = args.runs.absolute(), args.output
    folder = Path(sweep_folder(str(runs), args.sweep))
    results_file, page_file = output / "results.json", output / "results.md"
    if page_file.exists() and not page_file.read_bytes().startswith(MARK.encode()):
        raise RecordError(f"{page_file} was not made by this command and was left as it is; move it away")
    Results.read(results_file)  # a file that cannot be added to is an error now, not in hours
    code = 0
    if not args.report_only:
        runs.mkdir(parents=True, exist_ok=True)
        words = arguments(args.models or known, args.seeds, args.epochs, args.device, args.sweep, runs.name)
        code = run([*words, *overrides], runs.parent, args.time_limit)
    results = Results.read(results_file)  # another command may have added to it
    added = _add_finished_runs(results, folder)
    if not results.runs:
        print(f"reproduce: nothing to report: no finished run in {folder}, and none in {output}", file=sys.stderr)
        return code or EXIT_INVALID
    output.mkdir(parents=True, exist_ok=True)
    write(results_file, results.to_json())
    write(page_file, page(results))
    print(f"reproduce: {results_file} has {len(results.runs)} runs, {added} of them new; results.md")
    return code


def arguments(
    models: Sequence[str], seeds: Sequence[int], epochs: int, device: str, sweep: str, output: str
) -> list[str]:
    """What follows `python -m sweeps` for this part of the grid.

    The number of threads depends on the machine and not on the part, so that parts go together.
    """
    words = [
        "-m",
        f"model={','.join(models)}",
        f"seed={','.join(str(seed) for seed in seeds)}",
        f"trainer.epochs={epochs}",
        f"trainer.bn_reestimate={BN_REESTIMATE}",
        "trainer.save_weights=false",
        f"device={device}",
        f"sweep.name={sweep}",
        f"sweep.output='{output}'",
    ]
    if device == "cpu" or (device == "auto" and not visible_gpus()):
        words.append(f"hydra.launcher.threads={max(1, available_cores() // TABLE_RUNS)}")
    return words


def run(words: Sequence[str], folder: Path, time_limit: float | None) -> int:
    """Do the sweep in `folder`; returns the exit code of this command.

    After `time_limit` seconds, or on a signal, it is interrupted: its runs finish their epoch. Then it is killed.
    """
    was_asked: list[int] = []
    heard = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda number, frame: was_asked.append(number)) for number in heard}
    ran_out = False
    try:
        # In a group of its own: Ctrl-C in a terminal would reach it twice otherwise.
        process = subprocess.Popen(
            [sys.executable, "-m", "sweeps", *words], cwd=folder, env=environment(), process_group=0
        )
        left = float("inf") if time_limit is None else time_limit
        while (code := _wait(process, min(left, 0.2))) is None:
            left -= 0.2
            if was_asked or left <= 0:
                ran_out = not was_asked
                process.send_signal(signal.SIGINT)
                if (code := _wait(process, GRACE)) is None:
                    process.kill()
                break
        code = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if ran_out and code:
        print("reproduce: out of time; repeat the command to resume it")
        return EXIT_OUT_OF_TIME
    return EXIT_INTERRUPTED if was_asked and code else EXIT_FAILED if code else 0


def _wait(process: subprocess.Popen[bytes], seconds: float) -> int | None:
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None


def _add_finished_runs(results: Results, folder: Path) -> int:
    """Take up the finished runs of the book's networks in a sweep's folder; returns how many are new or newer."""
    added = 0
    for found in find_runs(folder) if folder.is_dir() else ():
        try:
            record = found.read()
            if record.status in (Status.COMPLETED, Status.DIVERGED) and network_of(record) in published():
                added += results.add_record(record)
        except RecordError as error:
            print(f"reproduce: left out: {error}", file=sys.stderr)
    return added


def _parser() -> Parser:
    parser = Parser(
        prog="reproduce",
        usage="%(prog)s [option ...] [-- override ...]",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--models", metavar="NAME[,NAME]", type=names, help="networks (all)")
    add("--seeds", metavar="N|N,N", type=seeds, default="3", help="a number of seeds, or their list (3)")
    add("--epochs", metavar="N", type=count, default=10, help="epochs of a run (10)")
    add("--time-limit", metavar="SECONDS", type=float, help="then runs finish their epoch, and the sweep stops")
    add("--device", metavar="NAME", default="auto", help="auto, cpu, cuda, cuda:1, mps (auto)")
    add("--sweep", metavar="NAME", default="reproduce", help="the sweep's name (reproduce)")
    add("--runs", metavar="DIR", type=Path, default=ROOT / "multirun", help="where sweeps are (multirun)")
    add("--output", metavar="DIR", type=Path, default=ROOT / "docs", help="for results.json and results.md (docs)")
    add("--report-only", action="store_true", help="train nothing; report the runs that there are")
    return parser


def seeds(text: str) -> list[int]:
    """`3` is the seeds 0, 1 and 2; `7,` is the seed 7 alone."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdecimal() for part in parts) or text.strip() == "0":
        raise argparse.ArgumentTypeError(f"{text} is neither a number of seeds nor a list of them, such as 0,1,2")
    return list(range(int(text))) if "," not in text else list(dict.fromkeys(int(part) for part in parts))
