"""The command line."""

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from . import page, slurm
from .drive import Driver
from .modes import APPS, MODES, SLURM
from .processes import ForkServer

DESCRIPTION = """
Sweeps are killed, stopped and starved of room at random moments; then the same command is typed until it is done, and
weights, predictions, metrics, records and the list of files are compared with those of an undisturbed sweep, to the
last bit. Needs Linux, and root for the full disk. Exit code 1 if anything differs.
Ctrl-C leaves out the sweep under way.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Kill so many times; returns the exit code."""
    parser = argparse.ArgumentParser(prog="scripts/chaos.py", description=DESCRIPTION)
    kills = "how often to kill; 0 only writes the page (default: 100)"
    parser.add_argument("--kills", type=int, default=100, help=kills)
    parser.add_argument("--seed", type=int, default=0, help="of the kinds and moments (default: %(default)s)")
    parser.add_argument("--app", choices=APPS, default="vision", help="what is swept (default: %(default)s)")
    parser.add_argument("--mode", action="append", choices=MODES, help="only this way to sweep; may be repeated")
    parser.add_argument(
        "--slurm", action="store_true", help="on a Slurm of this machine, whose daemons are killed, too"
    )
    parser.add_argument("--output", type=Path, help="folder for the sweeps (default: a new one for temporary files)")
    counts = "add the counts to this file, and write the page beside it: docs/reliability.json"
    parser.add_argument("--json", type=Path, help=counts)
    options = parser.parse_args(argv)
    if options.json is not None and options.kills:
        try:
            page.check(options.json, page.read(options.json))
        except ValueError as error:
            parser.error(str(error))
    faults = _drive(options) if options.kills else []
    if options.json is not None:
        print(page.write(options.json))
    return 1 if faults else 0


def _drive(options: argparse.Namespace) -> list[str]:
    output = (options.output or Path(tempfile.mkdtemp(prefix="chaos-"))).resolve()
    if output.exists() and any(output.iterdir()):
        sys.exit(f"error: --output={output} is not empty: name a new folder")
    print(f"sweeps and their output in {output}")
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background jobs ignore the first
        signal.signal(number, signal.default_int_handler)
    modes = [SLURM] if options.slurm else [MODES[name] for name in options.mode or MODES]
    counted: dict[str, Any] = {}
    app = APPS[options.app]
    try:
        with slurm.cluster(output / "slurm") if options.slurm else nullcontext(), ForkServer(app.program) as starter:
            driver = Driver(output, starter, options.seed, lambda text: print(text, flush=True), modes, app=app)
            for done in driver.until(options.kills):
                counts = done.counts()
                counted = page.plus(counted, {done.name: counts})
                if options.json is not None:
                    page.add(options.json, done.name, counts)
                print(f"{page.summary(counted)} (of {options.kills})", flush=True)
    except KeyboardInterrupt:
        print("stopped; the sweep under way is left out")
    faults = [text for one in counted.values() for text in one["faults"]]
    print("\n".join([page.tables(counted), page.summary(counted), *faults]))
    return faults
