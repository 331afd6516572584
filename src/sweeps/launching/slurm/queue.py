"""What Slurm says of jobs, by its own commands. Never imports torch.

One `squeue` tells of all jobs at once, and no accounting is needed: a job that Slurm does not list any more is over.
"""

import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sweeps.errors import ConfigError

NEEDED = ("sbatch", "squeue", "scancel", "scontrol", "srun")
PATIENCE = 60.0  # seconds that one command of Slurm's may take
AT_ONCE = 500  # jobs named on one command line

OVER = frozenset(
    {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED"}
    | {"TIMEOUT"}
)
# Why a job waits that will wait for ever; whatever else Slurm gives as a reason may pass.
HOPELESS = frozenset({"BadConstraints", "InvalidAccount", "InvalidQOS", "launch failed requeued held"})


class NoAnswer(ConfigError):
    """Slurm's controller does not answer."""


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
        """Whether it has ended for good; a state that we do not know counts as alive."""
        return self.state in OVER


class Queue:
    """The jobs of this user.

    Raises:
        ConfigError: this machine has no commands of Slurm's.
    """

    def __init__(self) -> None:
        missing = [name for name in NEEDED if shutil.which(name) is None]
        if missing:
            raise ConfigError(
                f"hydra/launcher=slurm needs Slurm's commands, and this machine has no {', '.join(missing)}: type the "
                "command on a node of the cluster, install them (Debian: apt-get install slurm-client), or stay on "
                "this machine with hydra/launcher=local"
            )

    def look(self) -> dict[str, Entry]:
        """Every job that waits, runs or has ended a short while ago, by its number.

        Raises:
            NoAnswer: Slurm's controller is away; nothing follows for any job.
        """
        try:
            text = _call(["squeue", "--me", "--noheader", "--array", "--states=all", "--format=%i|%T|%r|%M|%N|%j"])
        except (OSError, subprocess.SubprocessError) as error:
            said = (getattr(error, "stderr", None) or str(error)).strip()
            raise NoAnswer(f"Slurm does not answer: {said}") from error
        return {entry.job: entry for entry in _entries(text)}

    def cancel(self, jobs: Iterable[str]) -> None:
        """End jobs, whether they wait or run."""
        self._scancel([], jobs)

    def ask_to_stop(self, jobs: Iterable[str]) -> None:
        """Ask running jobs to stop after their epoch."""
        self._scancel(["--signal=TERM"], jobs)

    def _scancel(self, options: Sequence[str], jobs: Iterable[str]) -> None:
        names = list(jobs)
        for start in range(0, len(names), AT_ONCE):
            try:
                _call(["scancel", "--quiet", *options, *names[start : start + AT_ONCE]])
            except (OSError, subprocess.SubprocessError):
                continue  # some of them ended meanwhile; the next look tells


def state_from_accounting(job: str) -> str:
    """How a job ended that Slurm has forgotten, from its accounting; empty where there is none."""
    try:
        text = _call(["sacct", "--noheader", "--parsable2", "--allocations", "--format=State", f"--jobs={job}"])
    except (OSError, subprocess.SubprocessError):
        return ""
    return text.split()[-1] if text.split() == [text.strip()] else text.partition(" ")[0].strip()


def is_preempted(job: str) -> bool:
    """Whether Slurm takes its place away from a running job, to give it to a more important one."""
    try:
        return "PreemptTime=None" not in _call(["scontrol", "--oneliner", "show", "job", job])
    except (OSError, subprocess.SubprocessError):
        return False


def requeue(job: str) -> None:
    """Put a running job back into the queue, which ends this start of it.

    Raises:
        subprocess.SubprocessError: Slurm refuses it.
    """
    _call(["scontrol", "requeue", job])


def _call(command: Sequence[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True).stdout


def _entries(text: str) -> Iterator[Entry]:
    for line in text.splitlines():
        job, state, reason, time, node, name = line.split("|", 5)
        yield Entry(job, state, reason, _seconds(time), node, name)


def _seconds(time: str) -> int:
    """Slurm's `2-03:04:05`, `3:04:05` or `4:05` in seconds; 0 for what is no time."""
    days, _, rest = time.rpartition("-")
    seconds = 0
    try:
        for part in rest.split(":"):
            seconds = seconds * 60 + int(part)
        return seconds + int(days or 0) * 86_400
    except ValueError:
        return 0
