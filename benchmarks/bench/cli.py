"""`scripts/bench.py`: measure and report. Nothing here imports torch before the command line is understood."""

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.bench import seam, sweeping
from benchmarks.bench.report import print_model, summarize
from benchmarks.common import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_INVALID,
    ROOT,
    Parser,
    check_names,
    count,
    names,
    split,
    write,
)
from sweeps.errors import RunFailed, SweepsError
from sweeps.record.provenance import environment
from sweeps.vision.config import conf_dir

SCHEMA_VERSION = 2  # 1: of release 0.1, with other names for what --sweep measures

_STARTS = 5  # calls for help that are timed

_DESCRIPTION = """\
Time an epoch of training, contenders side by side in one process, a different one first in every round:

  textbook  the loop that one writes after a tutorial: PIL, a DataLoader, .item() at every step
  lightning PyTorch Lightning with the same DataLoader, measuring the test images alone
  ours      the epoch of this package, measuring the figures of the textbook
  default   the same without the second pass over the training images, which is the default
  floor     the same steps on one batch that is ready; compared with the training part of ours

textbook and ours must arrive at the same figures. Process start, reading files, building networks and recording CUDA
graphs are not timed. Or measure the engine: --sweep, --seam."""

_EPILOG = """\
overrides, after --, are those of the runs that are timed: -- trainer.compile=default

goals, on two quiet cores without a GPU: lenet_bn with all of Fashion-MNIST at least 3.6 times as fast as the textbook,
its training part within 1.05 of the floor; a run in 1.0 GB; help within 0.6 s; --seam names its own.

exit codes: 0 all well, 1 a contender did not do its work, 2 invalid, 130 interrupted (finished rounds are in FILE)"""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what the command line asks for; returns the exit code."""
    words, overrides = split(argv)
    args = _parser().parse_args(words)
    args.overrides = overrides
    args.models = args.models or ([] if args.memory or args.sweep or args.seam else ["lenet_bn"])
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # no sweep that is timed may be left behind
    try:
        return EXIT_FAILED if _bench(args, Console()) else 0
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except SweepsError as error:
        print(f"bench: {error}", file=sys.stderr)
        return EXIT_FAILED if isinstance(error, RunFailed) else EXIT_INVALID
    finally:
        signal.signal(signal.SIGTERM, before)


def _bench(args: argparse.Namespace, console: Console) -> list[str]:
    """Measure, print and write; returns what makes a comparison unfair."""
    check_names("--models", args.models, sorted(path.stem for path in (conf_dir() / "model").glob("*.yaml")))
    import torch  # seconds that a mistake must not cost

    from benchmarks.bench import measure
    from benchmarks.bench.contenders import CONTENDERS
    from sweeps.vision.devices import choose_device, describe_device

    if args.threads is not None:
        torch.set_num_threads(args.threads)
    contenders = args.contenders or list(CONTENDERS)
    check_names("--contenders", contenders, CONTENDERS)
    rounds = args.rounds or (1 if args.quick else 5)
    report: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "started": _now(),
        "ended": None,
        "environment": environment(describe_device(choose_device(args.device)), ROOT),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "rounds": rounds,
        "peak_rate": measure.peak_rate(choose_device(args.device)),
        "startup": None,
        "sweeps": None,
        "seam": None,
        "models": [],
    }

    def save() -> None:
        if args.output is not None:
            write(args.output, json.dumps(report, indent=2, allow_nan=False) + "\n")

    def keep(part: str, figures: Any) -> None:
        report[part] = figures
        save()

    save()  # what cannot work is an error now: the file here, networks and images below
    cases = {
        model: measure.prepare(model, args.device, args.images, args.overrides, quick=args.quick)
        for model in args.models
    }
    if args.memory:
        keep("startup", sweeping.measure_startup(starts=1 if args.quick else _STARTS, quick=args.quick))
        sweeping.print_startup(console, report["startup"])
    if args.sweep:
        sweeping.measure_sweeps(rounds=rounds, quick=args.quick, keep=partial(keep, "sweeps"))
        sweeping.print_sweeps(console, report["sweeps"])
    if args.seam:
        seam.measure_seam(rounds=rounds, quick=args.quick, keep=partial(keep, "seam"))
        seam.print_seam(console, report["seam"])
    for model, case in cases.items():
        entry: dict[str, Any] = {"model": model, "case": case.describe(), "measurements": []}
        report["models"].append(entry)
        measure.warm_up(case, contenders)
        for number in range(1, rounds + 1):
            for done in measure.measure_round(case, number, contenders):
                entry["measurements"].append(done)
                line = f"{model} {number}/{rounds}  {done['contender']:<9} {done['seconds']:8.2f} s"
                console.print(line, style="dim")
            entry["summary"] = summarize(entry["measurements"], entry["case"], report["peak_rate"])
            entry["problems"] = measure.problems(entry["case"], entry["measurements"])
            save()
        print_model(console, entry)
    keep("ended", _now())
    return [problem for entry in report["models"] for problem in entry["problems"]]


def _parser() -> Parser:
    parser = Parser(
        prog="bench",
        usage="%(prog)s [option ...] [-- override ...]",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--models", metavar="NAME[,NAME]", type=names, help="networks (lenet_bn; none with --memory, --sweep, --seam)")
    sizes = "all of them; 1024 for inputs of 96 pixels, 256 for 224"
    add("--images", metavar="N", type=count, help=f"training images ({sizes}); a sixth as many for testing")
    add("--contenders", metavar="NAME[,NAME]", type=names, help="which are timed (all of the above)")
    add("--rounds", metavar="N", type=count, help="measurements of every contender (5)")
    add("--device", metavar="NAME", default="auto", help="auto, cpu, cuda, cuda:1, mps (auto)")
    add("--threads", metavar="N", type=count, help="CPU threads of torch (its own choice)")
    add("--quick", action="store_true", help="one round with few images: does it work here?")
    add("--memory", action="store_true", help="the peak memory of a run, and the time of python -m sweeps --help")
    add("--sweep", action="store_true", help="eight runs one after another and side by side")
    add("--seam", action="store_true", help="what report() costs any application, and a trivial run")
    add("--output", metavar="FILE", type=Path, help="every figure as JSON, written after every round")
    return parser


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")
