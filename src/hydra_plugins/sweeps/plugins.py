"""What Hydra needs to see of the launchers and the sweepers; `sweeps.launchers` and `sweeps.sweepers` do the work.

Hydra executes this module on every start, so nothing heavy is imported here.
"""

import multiprocessing
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from sweeps.config import register
from sweeps.hints import add_hints


def _refuse_import_by_a_worker() -> None:
    """End a worker that imports a script which has no `__main__` guard, and so starts the sweep once more."""
    process = multiprocessing.current_process()
    if not (process.name.startswith("sweeps ") and getattr(process, "_inheriting", False)):
        return
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code.co_name == "_run_hydra":
            from sweeps.launchers.job import UNGUARDED

            os._exit(UNGUARDED)
        frame = frame.f_back


_refuse_import_by_a_worker()
register()
add_hints()


class _SweepLauncher(Launcher):
    """Keeps what Hydra gives until there are jobs."""

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.policy: Any = None  # of the whole sweep, from a sweeper that may launch several times

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Remember what `launch` needs."""
        from sweeps.task import wrapped

        self.given = (hydra_context, wrapped(task_function, config.hydra.output_subdir), config)


@dataclass
class LocalLauncherConfig:
    """`hydra/launcher=local`: the runs of a sweep on this machine, in processes that a crash cannot spread from.

    Stored here and not in `conf/`, so that Hydra knows the types, and any Hydra application the launcher.
    """

    _target_: str = "hydra_plugins.sweeps.plugins.LocalLauncher"
    # Processes at a time; null: one per slot of a GPU, else as many as there are CPU cores (or runs). 0 does the runs
    # in this process, one after another: for debugging; no timeout, no isolation.
    workers: int | None = None
    gpus: int | None = None  # how many of the visible GPUs to use; null: all of them; 0: none, the CPU
    runs_per_gpu: int = 1  # runs that share a GPU; small networks leave room for more
    threads: int | None = None  # CPU threads of a run; null: the cores divided among the workers; at most the cores
    # Replace a worker after so many runs; null: only after a crash or an out-of-memory.
    recycle_after: int | None = None


ConfigStore.instance().store(group="hydra/launcher", name="local", node=LocalLauncherConfig, provider="sweeps")


class LocalLauncher(_SweepLauncher):
    """Runs of a sweep on this machine (`hydra/launcher=local`)."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Do every job; a failed one does not stop the others."""
        from sweeps.launchers.local.launch import launch
        from sweeps.task import without_traceback

        with without_traceback():
            return launch(*self.given, job_overrides, initial_job_idx, self.options, self.policy)

    def launch_feed(self, feed: Any, samples: Sequence[Sequence[str]]) -> None:
        """Do the runs that `feed` makes as workers become free; `samples` of them are checked first."""
        from sweeps.launchers.local.launch import launch_feed

        launch_feed(*self.given, feed, samples, self.options)


@dataclass
class SlurmLauncherConfig:
    """`hydra/launcher=slurm`: the runs of a sweep as jobs of a cluster, an array with one task per run.

    Needs Slurm's commands, and a sweep folder that every node sees. What is null is left to Slurm, whose partitions
    have defaults of their own.
    """

    _target_: str = "hydra_plugins.sweeps.plugins.SlurmLauncher"
    array_parallelism: int = 256  # runs of one array at a time, at most; a sweep above a cluster's limits has several
    partition: str | None = None  # the queue: sinfo names them
    time: int = 60  # minutes that one start of a job may take; a run that is not done by then resumes in its next start
    cpus: int | None = None  # CPU cores of a run, and its threads (OMP_NUM_THREADS)
    gpus_per_node: int | None = None  # GPUs of a run: 1, or null for the CPU; a run uses one
    memory: str | None = None  # main memory of a run, as Slurm writes it: 8G, 512M
    qos: str | None = None  # quality of service: priority and limits, where the cluster has several
    constraint: str | None = None  # features that the node must have, as the cluster calls them: a100, "a100|h100"
    account: str | None = None  # whose budget pays
    # Lines of shell that run before a job's Python: ["module load cuda", "export NAME=value"].
    setup: list[str] = field(default_factory=list)
    # Further options of sbatch by their long names, without the dashes: {nodelist: node7, mail-type: FAIL}.
    extra: dict[str, Any] = field(default_factory=dict)
    # Seconds before the time limit in which a run stops after its next report, with a checkpoint, and asks to be
    # requeued: longer than the time between two reports, or that work is repeated. Slurm may send the notice up to a
    # minute early.
    notice: int = 120
    on_interrupt: str = "leave"  # what Ctrl-C does to the jobs: leave, or cancel after their next report
    poll: float = 5.0  # seconds between two looks at the queue; each is one squeue, whatever the number of jobs


ConfigStore.instance().store(group="hydra/launcher", name="slurm", node=SlurmLauncherConfig, provider="sweeps")


class SlurmLauncher(_SweepLauncher):
    """Runs of a sweep as jobs of a Slurm cluster (`hydra/launcher=slurm`)."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Do every job; a failed one does not stop the others."""
        from sweeps.launchers.slurm.launch import launch
        from sweeps.task import without_traceback

        with without_traceback():
            return launch(*self.given, job_overrides, initial_job_idx, self.options, self.policy)

    def check(self, samples: Sequence[Sequence[str]]) -> None:
        """Refuse a search in which one of `samples` cannot work."""
        from sweeps.launchers.slurm.launch import check

        check(*self.given, samples)


@dataclass
class GridSweeperConfig:
    """`hydra/sweeper=grid`: every combination of the swept values is a run."""

    _target_: str = "hydra_plugins.sweeps.plugins.GridSweeper"
    # Runs at a time, at most; a launcher that is not ours is handed so many, and the next ones once all have ended.
    max_batch_size: int | None = None
    # Swept keys that an experiment sets, such as {model: "glob(*)"}; the command line wins. Any, because OmegaConf
    # merges no mapping into a typed null.
    params: Any = None


ConfigStore.instance().store(group="hydra/sweeper", name="grid", node=GridSweeperConfig, provider="sweeps")


class GridSweeper(BasicSweeper):
    """Every combination of the swept values (`hydra/sweeper=grid`)."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Make the launcher, which may be any, with a task that keeps a record."""
        from sweeps.task import wrapped

        task = wrapped(task_function, config.hydra.output_subdir)
        super().setup(hydra_context=hydra_context, task_function=task, config=config)

    def sweep(self, arguments: list[str]) -> Any:
        """Expand the grid and hand it to the launcher."""
        from sweeps.sweepers.grid import sweep
        from sweeps.task import interruptible, without_traceback

        with interruptible(), without_traceback():
            return sweep(self, arguments)


@dataclass
class SearchSweeperConfig:
    """`hydra/sweeper=search`: optuna chooses the runs (`pip install 'hydra-sweeps[search]'`).

    The swept values are the space: lists, choice(), glob(), range(), interval(), tag(log, interval()), int(interval()).
    """

    _target_: str = "hydra_plugins.sweeps.plugins.SearchSweeper"
    sampler: str = "tpe"  # tpe, gp (needs scipy), cmaes (pip install cmaes), qmc, random, grid
    n_trials: int = 20  # in total: repeating the command adds trials until there are so many
    seed: int = 0  # of the sampler; with one worker the same seed chooses the same trials
    # What is optimised: objective (see sweep.objective) and, less being better, seconds, peak_memory or any fact.
    objectives: list[str] = field(default_factory=lambda: ["objective"])
    batch_size: int = 8  # trials at a time under launchers that are not local; those are asked for one by one
    # Swept keys that an experiment sets; the command line wins.
    params: Any = None
    # Axes for one choice alone, which take the place of those of equal name:
    # {model: {nin: {optim.lr: "tag(log, interval(1e-3, 0.1))"}}, optim: {sgd: {optim.momentum: "interval(0, 0.99)"}}}
    when: Any = None


ConfigStore.instance().store(group="hydra/sweeper", name="search", node=SearchSweeperConfig, provider="sweeps")


class SearchSweeper(Sweeper):
    """Trials until there are enough (`hydra/sweeper=search`)."""

    def __init__(self, **options: Any) -> None:
        self.options = options

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Make the launcher, and remember what `sweep` needs."""
        from hydra.core.plugins import Plugins

        from sweeps.task import wrapped

        self.hydra_context = hydra_context
        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context,
            task_function=wrapped(task_function, config.hydra.output_subdir),
            config=config,
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Do the trials that are left."""
        from sweeps.sweepers.search import sweep
        from sweeps.task import interruptible, without_traceback

        with interruptible(), without_traceback():
            return sweep(self, arguments)
