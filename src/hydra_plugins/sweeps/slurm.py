"""What Hydra needs to see of the launcher for Slurm; the work is in `sweeps.launching.slurm`.

Hydra executes this module on every start, so nothing heavy is imported here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class SlurmLauncherConfig:
    """`hydra/launcher=slurm`: the runs of a sweep as jobs of a cluster, an array with one task per run.

    Needs `pip install 'hydra-sweeps[slurm]'`, and a sweep folder that every node sees. What is null is left to Slurm,
    whose partitions have defaults of their own.
    """

    _target_: str = "hydra_plugins.sweeps.slurm.SlurmLauncher"
    array_parallelism: int = 256  # runs of one submission at a time, at most
    partition: str | None = None  # the queue: sinfo names them
    time: int = 60  # minutes that one start of a job may take; a run that is not done then goes on in its next start
    cpus: int | None = None  # CPU cores of a run, and threads unless trainer.threads says otherwise
    gpus_per_node: int | None = None  # GPUs of a run: 1, or null for the CPU; a run uses one
    memory: str | None = None  # main memory of a run, as Slurm writes it: 8G, 512M
    qos: str | None = None  # quality of service: priority and limits, where the cluster has several
    constraint: str | None = None  # features that the node must have, as the cluster calls them: a100, "a100|h100"
    account: str | None = None  # whose budget pays
    # Lines of shell that run before a job's Python: ["module load cuda", "export NAME=value"].
    setup: list[str] = field(default_factory=list)
    # Further options of sbatch by their long names, without the dashes: {nodelist: node7, mail-type: FAIL}.
    extra: dict[str, Any] = field(default_factory=dict)
    # Seconds before the time limit in which a run ends its epoch, writes its checkpoint and asks to be requeued:
    # longer than the longest epoch, or that epoch is done twice.
    notice: int = 120
    on_interrupt: str = "leave"  # what Ctrl-C does to the jobs: leave them to Slurm, or cancel them after their epochs
    poll: float = 5.0  # seconds between two looks at the queue; each is one squeue, whatever the number of jobs


ConfigStore.instance().store(group="hydra/launcher", name="slurm", node=SlurmLauncherConfig, provider="sweeps")


class SlurmLauncher(Launcher):
    """Runs of a sweep as jobs of a Slurm cluster (`hydra/launcher=slurm`)."""

    def __init__(self, **options: Any) -> None:
        self.options = options

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Remember what `launch` needs."""
        self.hydra_context = hydra_context
        self.task_function = task_function
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Do every job; a failed one does not stop the others."""
        from sweeps.launching.slurm.launch import launch

        return launch(self.hydra_context, self.task_function, self.config, job_overrides, initial_job_idx, self.options)
