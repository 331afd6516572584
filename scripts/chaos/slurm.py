"""A Slurm of one machine, and what is done to it. Needs root, and slurmctld, slurmd, slurm-client and munge."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from sweeps.errors import RecordError
from sweeps.launchers.slurm.queue import Queue, SlurmError
from sweeps.record.records import Status, find_runs

ONE = Path(__file__).resolve().parents[2] / "tests" / "launchers" / "slurm_one.sh"
CONTROLLER, NODE, JOB, CANCEL = KINDS = ("SIGKILL slurmctld", "SIGKILL slurmd", "SIGKILL a job", "scancel a job")


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[None]:
    """A Slurm with one node, in `folder`, of which every command that is started afterwards knows."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    ports = [str(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    folder.mkdir(parents=True)
    folder.parent.chmod(0o755)  # munge wants everybody to get at its socket
    os.environ.update(SLURM_ONE_CTLD_PORT=ports[0], SLURM_ONE_D_PORT=ports[1], SLURM_CONF=str(folder / "slurm.conf"))
    try:
        subprocess.run([ONE, "start", folder], check=True, timeout=60)
        yield
    finally:
        subprocess.run([ONE, "stop", folder], check=True, timeout=120)


def strike(kind: str, sweep: Path, dice: random.Random) -> bool:
    """Do it; False where there was nobody to do it to."""
    if kind in (CONTROLLER, NODE):
        _restart(kind.split()[1], dice.uniform(0, 8))
        return True
    if kind == CANCEL:
        with contextlib.suppress(SlurmError):
            jobs = [entry.job for entry in Queue().look().values() if not entry.is_over]
            return bool(jobs) and Queue().cancel([dice.choice(jobs)])
        return False
    owners = []
    for run in find_runs(sweep) if sweep.is_dir() else ():
        with contextlib.suppress(RecordError):
            record = run.read()
            if record.status is Status.RUNNING and record.process is not None:
                owners.append(record.process.pid)
    with contextlib.suppress(ProcessLookupError):
        if owners:
            os.kill(dice.choice(owners), signal.SIGKILL)
            return True
    return False


def _restart(daemon: str, pause: float) -> None:
    """Kill a daemon of Slurm's, and start it again after so many seconds."""
    conf = os.environ["SLURM_CONF"]
    os.kill(int((Path(conf).parent / f"{daemon}.pid").read_text()), signal.SIGKILL)
    time.sleep(pause)
    own = ["-N", socket.gethostname().partition(".")[0]] if daemon == "slurmd" else []
    subprocess.run([daemon, "-f", conf, *own], check=True, timeout=60)
