"""What every job of a sweep shares, and how one is composed and run. Never imports torch."""

import copy
import inspect
import os
import pickle
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import cloudpickle
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, run_job
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict, read_write

from sweeps.launchers.folders import compose

UNGUARDED = 71  # exit code of a worker that was about to run the whole script again
NO_GUARD = (
    "a worker cannot import the script, which starts the sweep when it is imported: put the call under "
    '`if __name__ == "__main__":`'
)


@dataclass
class JobSetup:
    """Hydra's context, the task, the sweep's config, and `pinned`: values of keys that the parent has settled.

    The date in a sweep's default name, say, would be another one in every process.
    """

    context: HydraContext
    task: TaskFunction
    config: DictConfig
    pinned: dict[str, Any]

    @property
    def function(self) -> TaskFunction:
        """The application's own training function."""
        return cast(TaskFunction, inspect.unwrap(getattr(self.task, "task", self.task)))

    def pack(self) -> bytes:
        """The setup and Hydra's global state, for another process, which imports the user's script as well."""
        setup, task = replace(self, task=copy.copy(self.task)), cast(Any, self.task)
        place = _place_in_script(task.task) if hasattr(task, "task") else None
        if place is not None:
            cast(Any, setup.task).task = place
        return zlib.compress(cloudpickle.dumps((setup, Singleton.get_state())))

    @staticmethod
    def unpack(data: bytes) -> "JobSetup":
        """The setup, with Hydra's global state put in place."""
        setup, state = cloudpickle.loads(zlib.decompress(data))
        Singleton.set_state(state)
        assert isinstance(setup, JobSetup)
        task = cast(Any, setup.task)
        if isinstance(getattr(task, "task", None), tuple):
            name, depth = task.task
            task.task = list(_layers(getattr(sys.modules["__main__"], name)))[depth]
        return setup

    def compose(self, overrides: Sequence[str], number: int) -> DictConfig:
        """The config of the job with this number, Hydra's own node included."""
        return compose(self.context.config_loader, self.config, overrides, number, self.pinned)

    def run(self, overrides: Sequence[str], number: int, composed: bytes = b"", folder: str | None = None) -> JobReturn:
        """Do one job.

        Args:
            composed: its config as `packed`, where somebody has it already.
            folder: where it lives, as `Folders` says; None leaves it to Hydra, for applications of others.
        """
        job = pickle.loads(zlib.decompress(composed)) if composed else self.compose(overrides, number)
        if folder is not None:
            with read_write(job.hydra), open_dict(job.hydra):
                job.hydra.sweep.subdir = os.path.relpath(folder, job.hydra.sweep.dir)
                job.hydra.output_subdir = None  # the run itself writes it, once the folder is known to be its own
        return run_job(
            hydra_context=self.context,
            task_function=self.task,
            config=job,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )


def _place_in_script(task: Any) -> tuple[str, int] | None:
    """What the training function is called in the user's script, and below how many decorators it is found there.

    None where a worker could not import it by that. Pickled by value it would bring copies of what it uses along, and
    other functions of the script would not be the same any more.
    """
    main, name = sys.modules["__main__"], getattr(task, "__qualname__", "")
    if getattr(main, "__file__", None) is None or getattr(task, "__module__", "") != "__main__":
        return None
    for depth, layer in enumerate(_layers(getattr(main, name, None))):
        if layer is task:
            return name, depth
    return None


def _layers(function: Any) -> Iterator[Any]:
    """A function and what its decorators have wrapped, the outermost first."""
    while function is not None:
        yield function
        function = getattr(function, "__wrapped__", None)


def packed(job: DictConfig) -> bytes:
    """A job's config for `run`: composing takes a tenth of a second, unpacking a hundredth of that, and 5 kB."""
    # Hydra executes the modules of plugins again, and pickle refuses the classes of the first time.
    return zlib.compress(cloudpickle.dumps(job))
