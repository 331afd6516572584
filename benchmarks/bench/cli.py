"""`scripts/bench.py`: measure and report. Nothing here imports torch before the command line is understood."""

import argparse
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console

from benchmarks.bench.engines import ENGINES
from benchmarks.bench.report import print_model, print_startup, summarize
from benchmarks.bench.startup import measure_startup
from benchmarks.bench.sweeping import measure_sweeps, print_sweeps
from sweeps.errors import ConfigError, RecordError, RunFailed, SweepsError
from sweeps.record.files import atomic_write
from sweeps.record.provenance import environment
from sweeps.vision.config import conf_dir

SCHEMA_VERSION = 1
EXIT_FAILED = 1
EXIT_REFUSED = 2
EXIT_INTERRUPTED = 130

_STARTS = 5  # calls for help that are timed

_DESCRIPTION = """\
Time an epoch of training, contenders side by side in one process, a different one first in every round:

  textbook  the loop that one writes after a tutorial: PIL, a DataLoader, .item() at every step
  lightning PyTorch Lightning with the same DataLoader, measuring the test images alone
  ours      the loop of this package, measuring the figures of the textbook
  default   the same without the second pass over the training images, as it comes
  floor     the same steps on one batch that lies ready; compared with the training part of ours

textbook and ours must arrive at the same figures. Process start, reading files, building networks and recording CUDA
graphs are not timed."""

_EPILOG = """\
goals, on two quiet cores without a GPU: lenet_bn with all of Fashion-MNIST at least 3.6 times as fast as the textbook,
its training part within 1.05 of the floor; a run in 1.0 GB; help within 0.6 s.

exit codes: 0 all well, 1 a contender did not do its work, 2 refused, 130 interrupted (finished rounds are in FILE)"""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what the command line asks for; returns the exit code."""
    parser = _parser()
    args = parser.parse_args(argv)
    models = args.models or ([] if args.memory or args.sweep else ["lenet_bn"])
    known = sorted(path.stem for path in (conf_dir() / "model").glob("*.yaml"))
    if unknown := [model for model in models if model not in known]:
        parser.error(f"--models: {', '.join(unknown)} is not known; known are {', '.join(known)}")
    if unknown := [name for name in args.engines or () if name not in ENGINES]:
        parser.error(f"--engines: {', '.join(unknown)} is not known; known are {', '.join(ENGINES)}")
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # no sweep that is timed may be left behind
    try:
        return EXIT_FAILED if _bench(args, models, Console()) else 0
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except SweepsError as error:
        print(f"bench: {error}", file=sys.stderr)
        return EXIT_FAILED if isinstance(error, RunFailed) else EXIT_REFUSED
    finally:
        signal.signal(signal.SIGTERM, before)


def _bench(args: argparse.Namespace, models: Sequence[str], console: Console) -> list[str]:
    """Measure, print and write; returns what makes a comparison unfair."""
    import torch  # seconds that a refusal must not cost

    from benchmarks.bench import measure
    from benchmarks.bench.compare import measure_engines, print_engines
    from sweeps.vision.devices import choose_device, describe_device

    if args.threads is not None:
        torch.set_num_threads(args.threads)
    contenders = args.contenders or list(measure.CONTENDERS)
    if unknown := [name for name in contenders if name not in measure.CONTENDERS]:
        raise ConfigError(
            f"--contenders: {', '.join(unknown)} is not known here; known are {', '.join(measure.CONTENDERS)}"
        )
    rounds = args.rounds or (1 if args.quick else 5)
    report: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "started": _now(),
        "ended": None,
        "environment": environment(describe_device(choose_device(args.device))),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "rounds": rounds,
        "peak_rate": measure.peak_rate(choose_device(args.device)),
        "startup": None,
        "sweeps": None,
        "models": [],
    }
    _write(args.output, report)  # what cannot work is refused now: the file here, networks and images below
    cases = {model: measure.prepare(model, args.device, args.images, quick=args.quick) for model in models}
    if args.memory:
        report["startup"] = measure_startup(starts=1 if args.quick else _STARTS, quick=args.quick)
        _write(args.output, report)
        print_startup(console, report["startup"])
    if args.sweep:

        def keep(sweeps: dict[str, Any]) -> None:
            report["sweeps"] = sweeps
            _write(args.output, report)

        measure_sweeps(rounds=rounds, quick=args.quick, keep=keep)
        print_sweeps(console, report["sweeps"])
    for model, case in cases.items():
        entry: dict[str, Any] = {"model": model, "case": case.describe(), "measurements": []}
        report["models"].append(entry)
        if args.engines:
            entry["engines"] = measure_engines(case, args.engines, rounds, console)
            _write(args.output, report)
            console.print(model)
            print_engines(console, entry["engines"])
            continue
        measure.warm_up(case, contenders)
        for number in range(1, rounds + 1):
            for done in measure.measure_round(case, number, contenders):
                entry["measurements"].append(done)
                console.print(
                    f"{model} {number}/{rounds}  {done['contender']:<9} {done['seconds']:8.2f} s", style="dim"
                )
            entry["summary"] = summarize(entry["measurements"], entry["case"], report["peak_rate"])
            entry["problems"] = measure.problems(entry["case"], entry["measurements"])
            _write(args.output, report)
        print_model(console, entry)
    report["ended"] = _now()
    _write(args.output, report)
    return [problem for entry in report["models"] for problem in entry.get("problems", ())]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_REFUSED, f"bench: {message} (--help tells more)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="bench",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--models", metavar="NAME[,NAME]", type=_names, help="networks (lenet_bn; none with --memory or --sweep)"
    )
    parser.add_argument(
        "--images",
        metavar="N",
        type=_count,
        help="training images (all of them; 1024 for inputs of 96 pixels, 256 for 224); a sixth as many for testing",
    )
    parser.add_argument("--contenders", metavar="NAME[,NAME]", type=_names, help="who is timed (all of the above)")
    parser.add_argument("--rounds", metavar="N", type=_count, help="measurements of every contender (5)")
    parser.add_argument("--device", metavar="NAME", default="auto", help="auto, cpu, cuda, cuda:1, mps (auto)")
    parser.add_argument("--threads", metavar="N", type=_count, help="CPU threads of torch (its own choice)")
    parser.add_argument("--quick", action="store_true", help="one round with few images: does it work here?")
    parser.add_argument(
        "--memory", action="store_true", help="the peak memory of a run, and how long python -m sweeps --help takes"
    )
    parser.add_argument(
        "--sweep", action="store_true", help="eight cells one after another and side by side, and the cost of a cell"
    )
    parser.add_argument(
        "--engines",
        metavar="NAME[,NAME]",
        type=_names,
        nargs="?",
        const=list(ENGINES),
        help="two epochs with each choice of precision, layout, CUDA graph and compiler, instead of the contenders: "
        + ", ".join(ENGINES),
    )
    parser.add_argument("--output", metavar="FILE", type=Path, help="every figure as JSON, written after every round")
    return parser


def _names(text: str) -> list[str]:
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise argparse.ArgumentTypeError(f"{text!r} names nothing")
    return names


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of 1 or more")
    return int(text)


def _write(path: Path | None, report: Mapping[str, Any]) -> None:
    if path is None:
        return
    if path.exists() and not path.is_file():
        raise RecordError(f"--output={path} is not an ordinary file")
    try:
        atomic_write(path, (json.dumps(report, indent=2, allow_nan=False) + "\n").encode())
    except OSError as error:
        raise RecordError(
            f"--output={path} cannot be written ({error.strerror}); name a file in a folder that exists"
        ) from error


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")
