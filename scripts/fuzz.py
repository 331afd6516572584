#!/usr/bin/env python
"""Feed damaged and hostile input to everything that reads a run folder or what somebody typed.

    scripts/fuzz.py --seconds 180
    scripts/fuzz.py --seconds 3600 --seed 7 --json fuzz.json
    scripts/fuzz.py --seconds 60 --target report

What must hold for each input: a result, or an error with a sentence (the package's own, or Hydra's). Never a traceback
of another kind, more than 5 s of processor time, more than 512 MB beyond what was there at the start, a change of any
file outside of the folder, an escape sequence on the terminal, or a formula in a CSV file.

Seconds are those of the processor, so a machine that is busy finds the same. Valid input is made by the package's own
classes and then changed at a few places by hypothesis, which also makes what it finds small. Every finding is printed
with its input as JSON; such a file in tests/corpus/ is replayed by the test suite. Exit code 1 if anything was found.
"""

import argparse
import contextlib
import faulthandler
import importlib.metadata
import io
import json
import multiprocessing
import os
import platform
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import types
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import fuzz_targets  # noqa: F401 - fills TARGETS
from fuzz_input import TARGETS, Input, inputs_of, warm_up

from sweeps.errors import SweepsError
from sweeps.record.processes import peak_rss, reset_peak_rss
from sweeps.terminal import printable

ROOT = Path(__file__).resolve().parents[1]
SECONDS_LIMIT = 5.0  # of the processor, for one input
LOOK_SECONDS, LOOKS = 0.5, 60  # after so many looks without any use of the processor an input counts as waited for
MEMORY_LIMIT = 512 << 20  # bytes beyond the start
ADDRESS_SPACE = 6 << 30  # bytes beyond the start at which an allocation fails: the machine must survive
FAST_FOLDER = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
CHUNK = 100  # examples that hypothesis makes at a time


class Hang(BaseException):
    """An input takes too long."""


class Found(Exception):
    """What must not happen has happened; `signature` is the same for equal causes."""

    def __init__(self, signature: str, text: str) -> None:
        super().__init__(text)
        self.signature = signature


@dataclass
class Finding:
    """One kind of trouble, with the smallest input that makes it."""

    target: str
    signature: str
    text: str
    input: dict[str, Any]


def check(target: str, given: Input) -> None:
    """Put `given` before a target.

    Raises:
        Found: what must not happen happened.
    """
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=FAST_FOLDER) as place:
        base = Path(place).resolve()
        folder = base / "inside"
        folder.mkdir()
        _lay_out_the_outside(base)
        given.write(folder)
        before = _seen(base)
        reset_peak_rss()
        start = peak_rss()
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _called(target, folder, given)
        if (more := peak_rss() - start) > MEMORY_LIMIT:
            raise Found(f"{target}: memory", f"{more >> 20} MiB more than before")
        if _seen(base) != before:
            raise Found(f"{target}: outside", f"{sorted(_seen(base).items() ^ before.items())} differ")
        if (shown := said.getvalue()) != printable(shown):
            raise Found(f"{target}: escape", f"on the terminal: {shown[:500]!r}")


def _called(target: str, folder: Path, given: Input) -> None:
    def look(number: int, frame: types.FrameType | None) -> None:
        """Stop what uses the processor too long, or, however busy the machine is, not at all, such as for a pipe."""
        used.append(time.process_time())
        if used[-1] - used[0] > SECONDS_LIMIT or (len(used) > LOOKS and used[-1] - used[-1 - LOOKS] < 0.02):
            raise Hang

    used, began = [time.process_time()], Path.cwd()
    before = signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, LOOK_SECONDS, LOOK_SECONDS)
    try:
        os.chdir(folder)
        TARGETS[target].call(folder, given.arguments)
    except KeyboardInterrupt:
        raise
    except Hang as error:
        where = "".join(traceback.format_tb(error.__traceback__)[-4:])
        text = f"more than {SECONDS_LIMIT} s of the processor, or waiting for nothing, at\n{where}"
        raise Found(f"{target}: hang", text) from error
    except SystemExit as error:
        if error.code not in (0, 1, 2):
            raise Found(f"{target}: exit {error.code}", f"SystemExit({error.code!r})") from error
    except BaseException as error:
        signal.setitimer(signal.ITIMER_REAL, 0)
        if not isinstance(error, (SweepsError, *TARGETS[target].allowed)):
            text = "".join(traceback.format_exception(error))
            raise Found(f"{target}: {type(error).__name__} at {_place(error)}", text[-3000:]) from None
        if not str(error).strip():
            raise Found(f"{target}: no sentence", repr(error)) from error
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        os.chdir(began)


def _place(error: BaseException) -> str:
    """The last line of the package that the error passed."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "/src/sweeps/" in frame.filename] or frames
    return f"{own[-1].filename.rpartition('/src/')[2]}:{own[-1].lineno}"


def _lay_out_the_outside(base: Path) -> None:
    """What links in an input lead to, and nobody may touch."""
    outside = base / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(b'{"op_code": 0}\nno end of a line')
    for name in ("run.json", "checkpoint.pt", ".x.tmp", "metrics.jsonl", "events.1.failed"):
        (outside / name).write_bytes(b"precious")


def _seen(base: Path) -> dict[str, bytes | int]:
    """Everything beside the folder."""
    return {
        str(path.relative_to(base)): path.read_bytes() if path.is_file() else 0
        for top in base.iterdir()
        if top.name != "inside"
        for path in [top, *top.rglob("*")]
    }


def fuzz(target: str, seconds: float, seed: int, send: Callable[[Finding | int], None], notes: Path) -> None:
    """Check inputs for `seconds` of this process's own time; sends how many, and what it finds."""
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded
    from hypothesis.errors import FlakyStrategyDefinition

    faulthandler.enable()
    os.environ["COLUMNS"] = "200"
    warm_up(target)
    space = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (space + ADDRESS_SPACE, resource.RLIM_INFINITY))
    quiet = settings(
        max_examples=CHUNK,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
        report_multiple_bugs=False,
        print_blob=False,
    )
    known: set[str] = set()
    began, chunk = time.process_time(), 0
    last, count = Input(), 0

    def examine(one: Input) -> None:
        nonlocal last, count
        if time.process_time() - began > seconds + 60:
            return  # shrinking has its limit as well
        last, count = one, count + 1
        notes.write_text(json.dumps(one.as_json()))
        try:
            check(target, one)
        except Found as found:
            if found.signature.endswith("hang"):  # each step of making it smaller would take as long
                send(Finding(target, found.signature, str(found), one.as_json()))
                send(count)
                os._exit(0)  # what the hang has interrupted is in no sound state
            if found.signature not in known:
                raise

    while time.process_time() - began < seconds:
        count = 0
        inputs = given(inputs_of(TARGETS[target].example()))
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                seeded(seed * 1_000_003 + chunk)(quiet(inputs(examine)))()
        except FlakyStrategyDefinition:
            pass  # of what makes inputs, not of what reads them: the next chunk has another seed
        except Found as found:
            known.add(found.signature)
            send(Finding(target, found.signature, str(found), last.as_json()))
        send(count)
        chunk += 1


@dataclass
class Result:
    """What a fuzzing has come to."""

    counts: Counter[str] = field(default_factory=Counter)
    seconds: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    def add(self, finding: Finding) -> None:
        """Keep and print it, unless there is one of its signature."""
        if all(one.signature != finding.signature for one in self.findings):
            self.findings.append(finding)
            case = json.dumps({"target": finding.target, "input": finding.input})
            print(f"FOUND {finding.signature}\n{finding.text}\n{case}\n", flush=True)


def fuzz_all(targets: Sequence[str], seconds: float, seed: int) -> Result:
    """Every target in processes of its own, one after the other, until its share of the seconds is over."""
    result = Result()
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="fuzz-notes-") as folder:
        notes = Path(folder) / "input.json"
        for target in targets:
            for attempt in range(5):  # a hang or a crash ends a process
                left = seconds / len(targets) - result.seconds[target]
                if left < 0.2:
                    break
                receive, send = context.Pipe(duplex=False)
                before = _seconds_of_children()
                worker = context.Process(target=fuzz, args=(target, left, seed + 1000 * attempt, send.send, notes))
                worker.start()
                send.close()
                with contextlib.suppress(EOFError):
                    while True:
                        got = receive.recv()
                        if isinstance(got, Finding):
                            result.add(got)
                        else:
                            result.counts[target] += got
                worker.join()
                result.seconds[target] += _seconds_of_children() - before
                if worker.exitcode != 0 and notes.exists():
                    text = f"the process ended with exit code {worker.exitcode}"
                    result.add(Finding(target, f"{target}: {text}", text, json.loads(notes.read_text())))
            print(f"{target:12} {result.counts[target]:8,} inputs in {result.seconds[target]:6.1f} s", flush=True)
    return result


def _seconds_of_children() -> float:
    """What those that have ended have used of the processor."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz; returns the exit code: 0, or 1 with findings."""
    parser = argparse.ArgumentParser(description="Feed damaged input to whatever reads a run folder or a command line.")
    parser.add_argument("--seconds", type=float, default=60.0, help="of the processor, for all targets (default: 60)")
    parser.add_argument("--target", action="append", choices=sorted(TARGETS), help="only this one; may be given again")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE", help="counts and findings as JSON")
    options = parser.parse_args(arguments)
    result = fuzz_all(options.target or list(TARGETS), options.seconds, options.seed)
    total = sum(result.counts.values())
    print(f"{total:,} inputs, {sum(result.seconds.values()):.0f} s of the processor, {len(result.findings)} findings")
    if options.json:
        options.json.write_text(json.dumps(_facts(result, options), indent=2) + "\n")
    return 1 if result.findings else 0


def _facts(result: Result, options: argparse.Namespace) -> dict[str, Any]:
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    packages = ("torch", "hydra-core", "omegaconf", "optuna", "hypothesis", "numpy", "pandas", "safetensors")
    return {
        "commit": commit,
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in packages},
        "command": f"scripts/fuzz.py --seconds {options.seconds:g} --seed {options.seed}",
        "seconds": round(sum(result.seconds.values())),
        "inputs": sum(result.counts.values()),
        "targets": {
            name: {"inputs": result.counts[name], "seconds": round(result.seconds[name], 1)} for name in result.seconds
        },
        "findings": [{"signature": one.signature, "input": one.input} for one in result.findings],
    }


if __name__ == "__main__":
    sys.exit(main())
