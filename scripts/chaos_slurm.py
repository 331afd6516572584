#!/usr/bin/env python
"""Torment a sweep on a Slurm of one machine, and see that it ends as one that nobody disturbed.

    scripts/chaos_slurm.py --blows 20 --seed 1 --output /tmp/chaos-slurm

Kills slurmctld, slurmd, the Python of a job or the command itself, or cancels a job, at random moments; brings the
daemons back, types the same command again until it is done, and compares with an undisturbed sweep on this machine, to
the last bit. Needs root and Debian's slurmctld, slurmd, slurm-client and munge; exit code 1 if anything differs.
"""

import argparse
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import chaos

from sweeps.errors import RecordError
from sweeps.launchers.slurm.queue import Queue, SlurmError
from sweeps.record.records import RunDir, Status, find_runs

ONE = Path(__file__).resolve().parents[1] / "tests" / "launchers" / "slurm_one.sh"
GRID = (
    *(word for word in chaos.GRID if not word.startswith("hydra.launcher.")),
    "hydra/launcher=slurm",
    "hydra.launcher.poll=0.5",
)
BLOWS = ("controller", "node", "job", "cancel", "parent")


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[None]:
    """A Slurm with one node, in `folder`, of which every command below knows."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    ports = [str(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    folder.mkdir(parents=True)
    os.environ.update(SLURM_ONE_CTLD_PORT=ports[0], SLURM_ONE_D_PORT=ports[1], SLURM_CONF=str(folder / "slurm.conf"))
    try:
        subprocess.run([ONE, "start", folder], check=True, timeout=60)
        yield
    finally:
        subprocess.run([ONE, "stop", folder], check=True, timeout=120)


def kill_daemon(name: str, pause: float) -> None:
    """Kill a daemon of Slurm's, and start it again after so many seconds."""
    conf = os.environ["SLURM_CONF"]
    os.kill(int((Path(conf).parent / f"{name}.pid").read_text()), signal.SIGKILL)
    time.sleep(pause)
    own = ["-N", socket.gethostname().partition(".")[0]] if name == "slurmd" else []
    subprocess.run([name, "-f", conf, *own], check=True, timeout=60)


def at_work(folder: Path) -> list[RunDir]:
    """The runs that say that they are running."""
    found = []
    for run in find_runs(folder) if folder.is_dir() else ():
        with contextlib.suppress(RecordError):
            if run.read().status is Status.RUNNING:
                found.append(run)
    return found


def strike(blow: str, folder: Path, process: subprocess.Popen[bytes], dice: random.Random) -> bool:
    """Do it; False where there was nobody to do it to."""
    if blow == "controller":
        kill_daemon("slurmctld", dice.uniform(0, 8))
    elif blow == "node":
        kill_daemon("slurmd", dice.uniform(0, 8))
    elif blow == "parent":
        process.kill()
    elif blow == "cancel":
        try:
            jobs = [entry.job for entry in Queue().look().values() if not entry.is_over]
        except SlurmError:
            return False
        return bool(jobs) and Queue().cancel([dice.choice(jobs)])
    else:
        runs = at_work(folder)
        owner = dice.choice(runs).read().process if runs else None
        if owner is None or not owner.is_alive:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(owner.pid, signal.SIGKILL)
    return True


def torment(output: Path, blows: int, dice: random.Random) -> tuple[list[Path], Counter[str], int]:
    """Sweeps until so many blows were struck, each to its end; returns their folders, the blows, the commands typed."""
    rounds: list[Path] = []
    struck: Counter[str] = Counter()
    starts = 0
    while struck.total() < blows:
        folder = output / f"round-{len(rounds) + 1}"
        rounds.append(folder / "multirun" / chaos.SWEEP)
        code, calm = -1, 0
        while code != 0:
            process = chaos.start(folder, GRID)
            starts += 1
            calm = calm + 1 if struck.total() >= blows else 0
            if calm > 3:
                raise AssertionError(f"left alone, the sweep does not end: see {folder / 'output.txt'}")
            while process.poll() is None:
                if struck.total() >= blows:
                    process.wait(chaos.PATIENCE)
                    break
                deadline = time.monotonic() + dice.uniform(2, 15)
                while process.poll() is None and time.monotonic() < deadline:
                    time.sleep(0.1)
                blow = dice.choice(BLOWS)
                if process.poll() is None and strike(blow, rounds[-1], process, dice):
                    struck[blow] += 1
                    print(f"blow {struck.total()}: {blow}", flush=True)
                    if blow == "parent":
                        break
            code = process.wait(chaos.PATIENCE)
    return rounds, struck, starts


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--blows", type=int, default=20, help="how often to strike (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of what and when (default: %(default)s)")
    parser.add_argument("--output", type=Path, help="folder for everything (default: a new one for temporary files)")
    options = parser.parse_args()
    output = options.output or Path(tempfile.mkdtemp(prefix="chaos-slurm-"))
    output.mkdir(parents=True, exist_ok=True)
    output.chmod(0o755)  # munge wants everybody to get at its socket
    if any(output.iterdir()):
        parser.error(f"--output={output} is not empty: name a new folder")
    reference = chaos.undisturbed(output / "undisturbed")
    with cluster(output / "cluster"):
        rounds, struck, starts = torment(output, options.blows, random.Random(options.seed))
    faults = [f"{folder.parents[1].name}: {text}" for folder in rounds for text in chaos.compare(folder, reference)]
    kinds = ", ".join(f"{count} {blow}" for blow, count in sorted(struck.items()))
    print(f"{struck.total()} blows ({kinds}), {starts} starts, {len(rounds)} sweeps completed")
    print("\n".join(faults) or "all equal to the undisturbed sweep, to the last bit")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
