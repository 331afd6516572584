"""From cells to jobs of Slurm, through submitit. Never imports torch.

Submitit writes the script, one array with a task per cell, and starts `CellJob` on the node; what happens to the jobs
afterwards is followed by `sweeps.launching.slurm.follow`. Of its own watching nothing is used: it waits for ever for a
killed job where Slurm has no accounting, and knows nothing of checkpoints.
"""

import contextlib
import io
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
from sweeps.files import atomic_write
from sweeps.launching.cells import Cell
from sweeps.launching.setup import Setup
from sweeps.launching.signals import hold_back_signals
from sweeps.launching.slots import check_count
from sweeps.launching.slurm.job import HOLD_BACK, CellJob
from sweeps.launching.slurm.ledger import Ledger

if TYPE_CHECKING:
    from submitit import SlurmExecutor

LARGEST_ARRAY = 1000  # tasks; Slurm's own default for the limit of a cluster, MaxArraySize, is 1001
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
        """The options as Hydra hands them over."""
        plain: dict[str, Any] = {
            key: OmegaConf.to_object(value) if OmegaConf.is_config(value) else value for key, value in options.items()
        }
        return cls(**plain)

    def __post_init__(self) -> None:
        for key in ("array_parallelism", "time", "cpus", "notice"):
            check_count(key, getattr(self, key), 1)
        check_count("gpus_per_node", self.gpus_per_node, 0)
        if self.on_interrupt not in ON_INTERRUPT:
            raise ConfigError(
                f"hydra.launcher.on_interrupt={self.on_interrupt} is refused: {' or '.join(ON_INTERRUPT)}"
            )
        if not self.poll > 0:
            raise ConfigError(f"hydra.launcher.poll={self.poll} is refused: it is a number of seconds above 0")
        if self.notice >= self.time * 60:
            raise ConfigError(
                f"hydra.launcher.notice={self.notice} (seconds) is refused: a job has only "
                f"hydra.launcher.time={self.time} (minutes) altogether"
            )

    def parameters(self) -> dict[str, Any]:
        """The same in submitit's words."""
        # A step of a job no longer inherits the job's cores (since Slurm 22.05), and must not wipe the log of an
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
    """Submits cells of one sweep. They share `setup`, in a file of its own for each command that submits something.

    So whoever types the command again, with other settings perhaps, changes nothing for the jobs that still wait.

    Raises:
        ConfigError: submitit is not installed.
    """

    def __init__(self, sweep: str, ledger: Ledger, setup: Setup, options: Options) -> None:
        self._sweep = re.sub(r"[^A-Za-z0-9._-]+", "-", sweep)
        self._ledger = ledger
        self._setup = setup
        self._setup_file: Path | None = None
        self._options = options
        self._executor = make_executor(ledger.folder)

    def __call__(self, cells: Sequence[Cell]) -> Iterator[tuple[Cell, str]]:
        """Submit cells; yields each with its job.

        Raises:
            ConfigError: Slurm refuses the jobs; its own words are in the message.
        """
        for start in range(0, len(cells), LARGEST_ARRAY):
            yield from self._submit(cells[start : start + LARGEST_ARRAY])

    def _submit(self, cells: Sequence[Cell]) -> list[tuple[Cell, str]]:
        submission = self._ledger.begin([cell.name for cell in cells])
        setup, notice = self._setup_file, self._options.notice
        if setup is None:
            setup = self._ledger.folder / f"setup-{submission.token}.pkl"
            atomic_write(setup, self._setup.pack())
        work = [
            CellJob(str(setup), str(self._folder_of(cell)), tuple(cell.overrides), cell.number, notice)
            for cell in cells
        ]
        self._executor.update_parameters(job_name=f"{self._sweep}.{submission.token}", **self._options.parameters())
        said = io.StringIO()
        try:
            # Ctrl-C must not end sbatch between the submission and its answer; and what a job, in which this may run,
            # was given is not what the new jobs are given.
            with hold_back_signals(), outside_of_a_job(), contextlib.redirect_stderr(said):
                jobs = self._executor.submit_array(work)
        except RuntimeError as error:
            self._ledger.withdraw(submission)
            if self._setup_file is None:
                setup.unlink()
            raise ConfigError(
                f"Slurm refuses the jobs of this sweep: {str(error).strip() or said.getvalue()}"
            ) from error
        finally:
            self._clean_up()
        self._setup_file = setup
        self._ledger.confirm(submission, jobs[0].job_id.partition("_")[0])
        return list(zip(cells, (submission.job_of(index) for index in range(len(cells))), strict=True))

    def _folder_of(self, cell: Cell) -> Path:
        assert cell.folder is not None
        return cell.folder.path.absolute()

    def _clean_up(self) -> None:
        for link in self._ledger.folder.glob(".submission_file_*"):
            link.unlink(missing_ok=True)


def make_executor(folder: Path) -> "SlurmExecutor":
    """What writes and submits the script, with its files in `folder`.

    Raises:
        ConfigError: submitit is not installed.
    """
    try:
        from submitit import SlurmExecutor
    except ImportError as error:
        raise ConfigError(
            "hydra/launcher=slurm submits through submitit, which is not installed: pip install 'hydra-sweeps[slurm]'"
        ) from error
    return SlurmExecutor(folder=folder, python=shlex.join([sys.executable, "-c", HOLD_BACK]))


@contextlib.contextmanager
def outside_of_a_job() -> Iterator[None]:
    """Without the environment of the job that this process runs in, if any."""
    from submitit.helpers import clean_env

    where = {key: os.environ[key] for key in ("SLURM_CONF",) if key in os.environ}  # the cluster, not the job
    with clean_env(), env_override(where):
        yield
