"""What Hydra needs to see of the launcher and the sweeper; the work is in `sweeps.launching`.

Hydra executes this module on every start, so nothing heavy is imported here.
"""

from collections.abc import Sequence
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


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


class GridSweeper(BasicSweeper):
    """Every combination of the swept values (`hydra/sweeper=grid`)."""

    def sweep(self, arguments: list[str]) -> Any:
        """Expand the grid and hand it to the launcher."""
        from sweeps.launching.grid import sweep

        return sweep(self, arguments)
