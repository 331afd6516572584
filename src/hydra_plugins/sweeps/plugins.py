"""What Hydra needs to see of the launcher and the sweeper; the work is in `sweeps.launching`.

Hydra executes this module on every start, so nothing heavy is imported here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class LocalLauncherConfig:
    """`hydra/launcher=local`: the runs of a sweep on this machine, in processes that a crash cannot spread from.

    Stored here and not in `conf/`, so that Hydra knows the types, and any Hydra application the launcher.
    """

    _target_: str = "hydra_plugins.sweeps.plugins.LocalLauncher"
    # Processes at a time; null: one per slot of a GPU, else as many as there are CPU cores (or cells). 0 does the runs
    # in this process, one after another: for debugging; no timeout, no isolation.
    workers: int | None = None
    gpus: int | None = None  # how many of the visible GPUs to use; null: all of them; 0: none, the CPU
    runs_per_gpu: int = 1  # runs that share a GPU; small networks leave room for more
    threads: int | None = None  # CPU threads of a run; null: the cores divided among the workers; at most the cores
    # Replace a worker after so many runs; null: only after a crash or an out-of-memory.
    recycle_after: int | None = None


ConfigStore.instance().store(group="hydra/launcher", name="local", node=LocalLauncherConfig, provider="sweeps")


class LocalLauncher(Launcher):
    """Runs of a sweep on this machine (`hydra/launcher=local`)."""

    def __init__(self, **options: Any) -> None:
        self.options = options

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Remember what `launch` needs."""
        self.hydra_context = hydra_context
        self.task_function = task_function
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Do every job; a failed one does not stop the others."""
        from sweeps.launching.local import launch

        return launch(self.hydra_context, self.task_function, self.config, job_overrides, initial_job_idx, self.options)

    def launch_feed(self, feed: Any, samples: Sequence[Sequence[str]]) -> None:
        """Do the cells that `feed` makes as workers become free; `samples` of them are checked first."""
        from sweeps.launching.local import launch_feed

        launch_feed(self.hydra_context, self.task_function, self.config, feed, samples, self.options)


@dataclass
class GridSweeperConfig:
    """`hydra/sweeper=grid`: every combination of the swept values is a run."""

    _target_: str = "hydra_plugins.sweeps.plugins.GridSweeper"
    max_batch_size: int | None = None  # runs handed to the launcher at a time; null hands over all of them
    # Swept keys that an experiment sets, such as {model: "glob(*)"}; the command line wins.
    params: dict[str, str] | None = None


ConfigStore.instance().store(group="hydra/sweeper", name="grid", node=GridSweeperConfig, provider="sweeps")


class GridSweeper(BasicSweeper):
    """Every combination of the swept values (`hydra/sweeper=grid`)."""

    def sweep(self, arguments: list[str]) -> Any:
        """Expand the grid and hand it to the launcher."""
        from sweeps.launching.grid import sweep

        return sweep(self, arguments)


@dataclass
class SearchSweeperConfig:
    """`hydra/sweeper=search`: optuna chooses the runs (`pip install 'hydra-sweeps[search]'`).

    The swept values are the space: lists, choice(), glob(), range(), interval(), tag(log, interval()), int(interval()).
    """

    _target_: str = "hydra_plugins.sweeps.plugins.SearchSweeper"
    sampler: str = "tpe"  # tpe, gp (needs scipy), cmaes (pip install cmaes), qmc, random, grid
    n_trials: int = 20  # in all: repeating the command goes on until there are so many
    seed: int = 0  # of the sampler; with one worker the same seed chooses the same trials
    # What is optimised: objective (see objective.metric) and, less being better, seconds, parameters, peak_memory.
    objectives: list[str] = field(default_factory=lambda: ["objective"])
    batch_size: int = 8  # trials at a time under launchers that are not local; those are asked for one by one
    params: dict[str, str] | None = None  # swept keys that an experiment sets; the command line wins


ConfigStore.instance().store(group="hydra/sweeper", name="search", node=SearchSweeperConfig, provider="sweeps")


class SearchSweeper(Sweeper):
    """Trials until there are enough (`hydra/sweeper=search`)."""

    def __init__(self, **options: Any) -> None:
        self.options = options

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Make the launcher, and remember what `sweep` needs."""
        from hydra.core.plugins import Plugins

        self.hydra_context = hydra_context
        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Do the trials that are left."""
        from sweeps.search import sweep

        return sweep(self, arguments)
