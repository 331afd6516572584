"""What Slurm says of jobs, by its own commands: nothing else calls them. Never imports torch.

One `squeue` tells of all jobs at once, and no accounting is needed: a job that Slurm does not list any more is over.

A command that fails does so in one of three ways, and what follows differs: Slurm does not answer (`NoAnswer`, which
passes), it takes no more jobs for now (`Full`, which passes as jobs end), or it says no (`Rejected`).
"""

import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sweeps.errors import ConfigError

T = TypeVar("T")

NEEDED = ("sbatch", "squeue", "scancel", "scontrol", "srun")
PATIENCE = 60.0  # seconds that one command of Slurm's may take
LONGEST_PAUSE = 60.0  # seconds between two attempts at a controller that is away, or at a queue that is full
AT_ONCE = 500  # jobs named on one command line
LARGEST_ARRAY = 1000  # tasks, where Slurm does not say; its own default for MaxArraySize is 1001

OVER = frozenset(
    {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED"}
    | {"TIMEOUT"}
)
# Why a job waits that will wait for ever; whatever else Slurm gives as a reason may pass.
HOPELESS = frozenset({"BadConstraints", "InvalidAccount", "InvalidQOS", "launch failed requeued held"})

# Slurm's words for a controller, or the daemon that vouches for users, which is away, starting or overloaded.
_AWAY = re.compile(
    r"unable to contact|socket timed out|timed out on send/recv|connection (refused|timed out|reset|failure)"
    r"|connect failure|communication (connection|shutdown|failure)|zero bytes were transmitted|transport endpoint"
    r"|standby mode|not responding|slurm_persist_conn|munge|authentication (error|plugin|failed)|no route to host",
    re.IGNORECASE,
)
# ... for a limit of which somebody else's jobs may be the cause: of the cluster, or of a group.
_CROWDED = re.compile(
    r"temporarily unable to accept|resource temporarily unavailable|GrpSubmit|MaxJobCount", re.IGNORECASE
)
# ... for one that counts the jobs of this user, or the tasks of this array.
_LIMIT = re.compile(r"\w*MaxSubmit\w*|invalid job array specification|job submit limit", re.IGNORECASE)
# The name of the limit, which some clusters give; without it one sentence stands for limits that no waiting helps with.
_NAMED = re.compile(r"\b(?:Assoc|QOS)\w*Limit\b")


class SlurmError(ConfigError):
    """A command of Slurm's has failed."""


class NoAnswer(SlurmError):
    """Slurm's controller does not answer, and what was asked of it may have happened or not."""


class Rejected(SlurmError):
    """Slurm says no; nothing was done."""


class Full(Rejected):
    """Slurm takes no more jobs at present, or not so many at once. `own`: this user's jobs alone are counted."""

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
            SlurmError: nothing follows for any job.
        """
        text = _call(["squeue", "--me", "--noheader", "--array", "--states=all", "--format=%i|%T|%r|%M|%N|%j"])
        return {entry.job: entry for entry in _entries(text)}

    def submit(self, script: Path) -> str:
        """Submit a script; returns the number of the job.

        Raises:
            SlurmError: what kind tells whether there may be a job all the same.
        """
        text = _call(["sbatch", str(script)])
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
        """End jobs, whether they wait or run; returns whether Slurm has heard it, and not what became of the jobs."""
        return self._scancel([], jobs)

    def ask_to_stop(self, jobs: Iterable[str]) -> bool:
        """Ask running jobs to stop after their epoch; returns whether Slurm has heard it."""
        return self._scancel(["--signal=TERM"], jobs)

    def _scancel(self, options: Sequence[str], jobs: Iterable[str]) -> bool:
        names, heard = list(jobs), True
        for start in range(0, len(names), AT_ONCE):
            try:
                _call(["scancel", "--quiet", *options, *names[start : start + AT_ONCE]])
            except SlurmError:
                heard = False
        return heard


class Contact:
    """Whether Slurm answers, said once when it stops and once when it does again; between, the pauses grow."""

    def __init__(self, say: Callable[[str], None], poll: float) -> None:
        self._say = say
        self._poll = poll
        self._since: float | None = None
        self._pause = 0.0
        self._next = 0.0

    @property
    def is_lost(self) -> bool:
        """Whether Slurm did not answer the last time."""
        return self._since is not None

    @property
    def is_due(self) -> bool:
        """Whether to ask again."""
        return time.monotonic() >= self._next

    def lose(self, error: SlurmError) -> None:
        """Slurm has not answered."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
            self._say(f"Slurm does not answer ({error}): waiting until it does; jobs go on meanwhile")
        self._pause = min(LONGEST_PAUSE, max(self._poll, 2 * self._pause))
        self._next = now + self._pause

    def regain(self) -> None:
        """Slurm has answered."""
        if self._since is not None:
            self._say(f"Slurm answers again after {time.monotonic() - self._since:.0f} s")
        self._since, self._pause, self._next = None, 0.0, 0.0

    def patiently(self, ask: Callable[[], T]) -> T:
        """The answer to a question that is repeated until Slurm answers.

        Raises:
            Rejected: it says no.
        """
        while True:
            try:
                answer = ask()
            except NoAnswer as error:
                self.lose(error)
                time.sleep(self._pause)
            else:
                self.regain()
                return answer


def state_from_accounting(job: str) -> str:
    """How a job ended that Slurm has forgotten, from its accounting; empty where there is none."""
    try:
        text = _call(["sacct", "--noheader", "--parsable2", "--allocations", "--format=State", f"--jobs={job}"])
    except SlurmError:
        return ""
    return text.split()[-1] if text.split() == [text.strip()] else text.partition(" ")[0].strip()


def is_preempted(job: str) -> bool:
    """Whether Slurm takes its place away from a running job, to give it to a more important one."""
    try:
        text = _call(["scontrol", "--oneliner", "show", "job", job])
    except SlurmError:
        return False
    return "PreemptTime=" in text and "PreemptTime=None" not in text


def requeue(job: str) -> None:
    """Put a running job back into the queue, which ends this start of it.

    Raises:
        SlurmError: it stays out of the queue.
    """
    _call(["scontrol", "requeue", job])


def _call(command: Sequence[str]) -> str:
    """What a command prints. Ctrl-C does not reach it: half a command is worse than a late one."""
    try:
        done = subprocess.run(
            command,
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
    """The error that these words of Slurm's stand for."""
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
        if len(fields) == 6:  # and not a warning
            job, state, reason, time, node, name = fields
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
