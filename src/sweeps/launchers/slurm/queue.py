"""Slurm's commands; nothing else calls them. Never imports torch.

One `squeue` lists all jobs at once, and no accounting is needed: a job that Slurm does not list any more is over.

A command fails in one of three ways, and what follows differs: Slurm does not answer for now (`NoAnswer`), it accepts
no more jobs until others end (`Full`), or it rejects the command (`Rejected`).
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sweeps.errors import ConfigError

NEEDED = ("sbatch", "squeue", "scancel", "scontrol", "srun")
PATIENCE = 60.0  # seconds that one command may take
AT_ONCE = 500  # jobs named on one command line
OF_A_JOB = ("SLURM_", "SLURMD_", "SRUN_", "SBATCH_", "MASTER_", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
LARGEST_ARRAY = 1000  # tasks, where Slurm does not say; its own default for MaxArraySize is 1001

OVER = frozenset(
    {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED"}
    | {"TIMEOUT"}
)
# Why a job waits that will wait for ever; any other reason that Slurm gives may pass.
HOPELESS = frozenset({"BadConstraints", "InvalidAccount", "InvalidQOS", "launch failed requeued held"})

# Slurm's words for a controller, or an authentication daemon, that is down, starting or overloaded.
_AWAY = re.compile(
    r"unable to contact|socket timed out|timed out on send/recv|connection (refused|timed out|reset|failure)"
    r"|connect failure|communication (connection|shutdown|failure)|zero bytes were transmitted|transport endpoint"
    r"|standby mode|not responding|slurm_persist_conn|munge|authentication (error|plugin|failed)|no route to host",
    re.IGNORECASE,
)
# ... for a limit that other users' jobs may have reached: of the cluster, or of a group.
_CROWDED = re.compile(
    r"temporarily unable to accept|resource temporarily unavailable|GrpSubmit|MaxJobCount", re.IGNORECASE
)
# ... for a limit on the jobs of this user, or the tasks of this array.
_LIMIT = re.compile(r"\w*MaxSubmit\w*|invalid job array specification|job submit limit", re.IGNORECASE)
# The name of the limit, which some clusters give; without it, one sentence also stands for limits that never pass.
_NAMED = re.compile(r"\b(?:Assoc|QOS)\w*Limit\b")


class SlurmError(ConfigError):
    """One of Slurm's commands has failed."""


class NoAnswer(SlurmError):
    """Slurm's controller does not answer; what it was asked to do may have happened or not."""


class Rejected(SlurmError):
    """Slurm has rejected the command; nothing was done."""


class Full(Rejected):
    """Slurm accepts no more jobs now, or not so many at once. `own`: the limit counts this user's jobs alone."""

    own = True


@dataclass(frozen=True)
class Entry:
    """A job, or a task of an array, as Slurm lists it: `job` is 12, or 12_3; `seconds` counts from its last start."""

    job: str
    state: str
    reason: str
    seconds: int
    node: str
    name: str

    @property
    def is_over(self) -> bool:
        """Whether it has ended for good; an unknown state counts as alive."""
        return self.state in OVER


class Queue:
    """The jobs of this user.

    Raises:
        ConfigError: this machine does not have Slurm's commands.
    """

    def __init__(self) -> None:
        missing = [name for name in NEEDED if shutil.which(name) is None]
        if missing:
            raise ConfigError(
                f"hydra/launcher=slurm needs Slurm's commands, and this machine has no {', '.join(missing)}: run the "
                "command on a node of the cluster, install them (Debian: apt-get install slurm-client), or use this "
                "machine with hydra/launcher=local"
            )

    def look(self) -> dict[str, Entry]:
        """Every job that waits, runs or ended a short while ago, by its number.

        Raises:
            SlurmError: this says nothing about any job.
        """
        text = _call(["squeue", "--me", "--noheader", "--array", "--states=all", "--format=%i|%T|%r|%M|%N|%j"])
        return {entry.job: entry for entry in _entries(text)}

    def submit(self, script: Path) -> str:
        """Submit a script; returns the number of the job.

        Raises:
            SlurmError: its kind says whether there may be a job all the same.
        """
        text = _call(["sbatch", str(script)], outside_of_a_job())
        found = re.search(r"job (\d+)", text)
        if found is None:
            raise NoAnswer(f"sbatch names no job: {text.strip()!r}")
        return found[1]

    def largest_array(self) -> int:
        """How many tasks an array may have on this cluster."""
        try:
            text = _call(["scontrol", "show", "config"])
        except SlurmError:
            return LARGEST_ARRAY
        limits = re.findall(r"^MaxArraySize\s*=\s*(\d+)|\bmax_array_tasks=(\d+)", text, re.MULTILINE)
        return max(1, min((int(size or tasks) for size, tasks in limits), default=LARGEST_ARRAY))

    def cancel(self, jobs: Iterable[str]) -> bool:
        """End jobs, whether they wait or run; returns whether Slurm has accepted it; the jobs end later."""
        return self._scancel([], jobs)

    def ask_to_stop(self, jobs: Iterable[str]) -> bool:
        """Ask running jobs to stop after their next report; returns whether Slurm has accepted it."""
        return self._scancel(["--signal=TERM"], jobs)

    def _scancel(self, options: Sequence[str], jobs: Iterable[str]) -> bool:
        names, accepted = list(jobs), True
        for start in range(0, len(names), AT_ONCE):
            try:
                _call(["scancel", "--quiet", *options, *names[start : start + AT_ONCE]])
            except SlurmError:
                accepted = False
        return accepted


def state_from_accounting(job: str) -> str:
    """The last state of a job that Slurm does not list any more, from its accounting; empty where there is none."""
    try:
        text = _call(["sacct", "--noheader", "--parsable2", "--allocations", "--format=State", f"--jobs={job}"])
    except SlurmError:
        return ""
    return text.split()[0] if text.split() else ""  # CANCELLED by 1000


def is_preempted(job: str) -> bool:
    """Whether Slurm ends a running job to make room for one of a higher priority."""
    try:
        text = _call(["scontrol", "--oneliner", "show", "job", job])
    except SlurmError:
        return False
    return "PreemptTime=" in text and "PreemptTime=None" not in text


def requeue(job: str) -> None:
    """Put a running job back into the queue, which ends this start of it.

    Raises:
        SlurmError: it is not requeued.
    """
    _call(["scontrol", "requeue", job])


def outside_of_a_job() -> dict[str, str]:
    """The environment without that of the job that this process runs in, if any: another job must not inherit it."""
    return {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(OF_A_JOB) or key == "SLURM_CONF"  # which says where the cluster is
    }


def _call(command: Sequence[str], environment: dict[str, str] | None = None) -> str:
    """What a command prints. Ctrl-C does not reach it: an interrupted command is worse than a late one."""
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired as error:
        raise NoAnswer(f"{command[0]} took longer than {PATIENCE:g} s") from error
    except OSError as error:
        raise Rejected(f"{command[0]}: {error}") from error
    if done.returncode != 0:
        raise _error(" ".join((done.stderr or done.stdout).split()) or f"{command[0]} exits with {done.returncode}")
    return done.stdout


def _error(said: str) -> SlurmError:
    """The error that this message of Slurm stands for."""
    named = _NAMED.search(said)
    if _CROWDED.search(said):
        full = Full(said)
        full.own = False
        return full
    if (named is None or "Submit" in named[0]) and _LIMIT.search(said):
        return Full(said)
    return NoAnswer(said) if _AWAY.search(said) else Rejected(said)


def _entries(text: str) -> Iterator[Entry]:
    for line in text.splitlines():
        fields = line.split("|", 5)
        if len(fields) == 6:  # no warning
            job, state, reason, time, node, name = fields
            yield Entry(job, state, reason, _seconds(time), node, name)


def _seconds(time: str) -> int:
    """Slurm's `2-03:04:05`, `3:04:05` or `4:05` in seconds; 0 for anything else."""
    days, _, rest = time.rpartition("-")
    seconds = 0
    try:
        for part in rest.split(":"):
            seconds = seconds * 60 + int(part)
        return seconds + int(days or 0) * 86_400
    except ValueError:
        return 0
