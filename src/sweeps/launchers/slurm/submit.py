"""From runs to jobs of Slurm. Never imports torch.

Submitit writes the script, one array with a task per run. What a task does is in one file for all of them, which exists
before the jobs do: no job waits for a file that the parent, killed meanwhile, could not write.
"""

import contextlib
import json
import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from hydra.core.utils import env_override
from omegaconf import OmegaConf

from sweeps.errors import ConfigError
from sweeps.launchers.job import JobSetup
from sweeps.launchers.local.slots import check_count
from sweeps.launchers.runs import SweepRun
from sweeps.launchers.signals import hold_back_signals
from sweeps.launchers.slurm.job import HOLD_BACK, JOB, work_of
from sweeps.launchers.slurm.ledger import Ledger, Submission
from sweeps.launchers.slurm.queue import NoAnswer, Queue, Rejected
from sweeps.record.files import atomic_write

if TYPE_CHECKING:
    from submitit import SlurmExecutor

SLACK = 60  # seconds by which Slurm may send the notice too early: it looks at its jobs no more often
ON_INTERRUPT = ("leave", "cancel")
THREADS = 'export OMP_NUM_THREADS="${SLURM_CPUS_PER_TASK:-1}"'  # torch would take every core that it sees


@dataclass(frozen=True)
class Options:
    """What a user may set of `hydra/launcher=slurm`; explained in `hydra_plugins.sweeps.plugins`."""

    array_parallelism: int = 256
    partition: str | None = None
    time: int = 60
    cpus: int | None = None
    gpus_per_node: int | None = None
    memory: str | None = None
    qos: str | None = None
    constraint: str | None = None
    account: str | None = None
    setup: Sequence[str] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    notice: int = 120
    on_interrupt: str = "leave"
    poll: float = 5.0

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Self:
        """The options as Hydra passes them."""
        plain: dict[str, Any] = {
            key: OmegaConf.to_object(one) if OmegaConf.is_config(one) else one for key, one in options.items()
        }
        return cls(**plain)

    def __post_init__(self) -> None:
        for key in ("array_parallelism", "time", "cpus", "notice"):
            check_count(key, getattr(self, key), 1)
        check_count("gpus_per_node", self.gpus_per_node, 0)
        if (self.gpus_per_node or 0) > 1:
            raise ConfigError(
                f"hydra.launcher.gpus_per_node={self.gpus_per_node} is invalid: a run uses one GPU, the others would "
                "idle; use 1, or the local launcher inside one allocation to share a whole node among runs"
            )
        if self.on_interrupt not in ON_INTERRUPT:
            raise ConfigError(
                f"hydra.launcher.on_interrupt={self.on_interrupt} is invalid: {' or '.join(ON_INTERRUPT)}"
            )
        if not self.poll > 0:
            raise ConfigError(f"hydra.launcher.poll={self.poll} is invalid: a number of seconds above 0")
        if self.notice + SLACK >= self.time * 60:
            raise ConfigError(
                f"hydra.launcher.notice={self.notice} (seconds) is invalid with hydra.launcher.time={self.time} "
                f"(minutes): Slurm may send the notice {SLACK} s early, which leaves no time to train; use "
                f"hydra.launcher.time={(self.notice + SLACK) // 60 + 1} or more"
            )

    def parameters(self) -> dict[str, Any]:
        """The same in submitit's words."""
        # A step of a job no longer inherits the job's cores (since Slurm 22.05), and must not overwrite the log of an
        # earlier start.
        step = ["--open-mode=append", *([f"--cpus-per-task={self.cpus}"] if self.cpus else [])]
        direct = ("array_parallelism", "partition", "time", "gpus_per_node", "qos", "constraint", "account")
        further = {"requeue": True, **({"mem": self.memory} if self.memory else {}), **self.extra}
        return {
            **{key: getattr(self, key) for key in direct},
            "cpus_per_task": self.cpus,
            "setup": [THREADS, *self.setup],
            "signal_delay_s": self.notice,
            "stderr_to_stdout": True,
            "srun_args": step,
            "additional_parameters": further,
        }


class Submitter:
    """Submits runs of one sweep. They share `setup`, in a file of its own for each command that submits something.

    So repeating the command, perhaps with other settings, changes nothing for the jobs that still wait.

    Raises:
        ConfigError: submitit is not installed.
    """

    def __init__(self, sweep: str, queue: Queue, ledger: Ledger, setup: JobSetup, options: Options) -> None:
        self._sweep = re.sub(r"[^A-Za-z0-9._-]+", "-", sweep)
        self._queue, self._ledger, self._setup, self._options = queue, ledger, setup, options
        self._setup_file: Path | None = None
        self._executor = make_executor(ledger.folder)

    def __call__(self, submission: Submission, runs: Sequence[SweepRun]) -> str:
        """Submit runs together; returns the number of the job, or of the array that has a task for each.

        Raises:
            SlurmError: it does not answer, or accepts no more jobs, or none like these.
        """
        setup, script = self._setup_file, self._ledger.script(submission)
        if setup is None:
            setup = self._ledger.folder / f"setup-{submission.token}.pkl"
            atomic_write(setup, self._setup.pack(), private=True)
        work = work_of(setup, self._options.notice, runs)
        atomic_write(self._ledger.work(submission), json.dumps(work).encode(), private=True)
        atomic_write(script, self._script(submission, len(runs)).encode())
        try:
            # Ctrl-C must not interrupt between the submission and its answer; and if this process runs in a job itself,
            # the new jobs must not inherit what that one was given.
            with hold_back_signals(), outside_of_a_job():
                job = self._queue.submit(script)
        except Rejected:
            if self._setup_file is None:
                setup.unlink()
            raise
        except NoAnswer:
            self._setup_file = setup  # there may be a job that reads it
            raise
        self._setup_file = setup
        return job

    def _script(self, submission: Submission, tasks: int) -> str:
        self._executor.update_parameters(job_name=f"{self._sweep}.{submission.token}", **self._options.parameters())
        if tasks > 1:
            self._executor.parameters["map_count"] = tasks
        else:
            self._executor.parameters.pop("map_count", None)
        command = [sys.executable, "-c", HOLD_BACK, "-u", "-m", JOB, str(self._ledger.work(submission))]
        return str(self._executor._make_submission_file_text(shlex.join(command), submission.token))


def make_executor(folder: Path) -> "SlurmExecutor":
    """What writes the script, with its files in `folder`.

    Raises:
        ConfigError: submitit is not installed.
    """
    try:
        from submitit import SlurmExecutor
    except ImportError as error:
        raise ConfigError(
            "hydra/launcher=slurm submits through submitit, which is not installed: pip install 'hydra-sweeps[slurm]'"
        ) from error
    return SlurmExecutor(folder=folder)


@contextlib.contextmanager
def outside_of_a_job() -> Iterator[None]:
    """Without the environment of the job that this process runs in, if any."""
    from submitit.helpers import clean_env

    where = {key: os.environ[key] for key in ("SLURM_CONF",) if key in os.environ}  # the cluster, not the job
    with clean_env(), env_override(where):
        yield
