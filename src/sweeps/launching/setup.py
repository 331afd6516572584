"""What every job of a sweep shares, and how one is composed and run. Never imports torch."""

import os
import pickle
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cloudpickle
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, run_job
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict, read_write

from sweeps.launching.places import compose


@dataclass
class Setup:
    """Hydra's context, the task, the sweep's config, and `pinned`: values of keys that the parent has settled.

    The date in a sweep's default name, say, would be another one in every process.
    """

    context: HydraContext
    task: TaskFunction
    config: DictConfig
    pinned: dict[str, Any]

    def pack(self) -> bytes:
        """The setup and Hydra's global state, for another process.

        Compressed, since it goes to a new worker through a pipe that its parent holds open on both ends: where it does
        not fit into the 64 KiB of that, a worker that is killed as it starts leaves its parent waiting for ever.
        """
        return zlib.compress(cloudpickle.dumps((self, Singleton.get_state())))

    @staticmethod
    def unpack(data: bytes) -> "Setup":
        """The setup, with Hydra's global state put in place."""
        setup, state = cloudpickle.loads(zlib.decompress(data))
        Singleton.set_state(state)
        assert isinstance(setup, Setup)
        return setup

    def compose(self, overrides: Sequence[str], number: int) -> DictConfig:
        """The config of the job with this number, Hydra's own node included."""
        return compose(self.context.config_loader, self.config, overrides, number, self.pinned)

    def run(self, overrides: Sequence[str], number: int, composed: bytes = b"", folder: str | None = None) -> JobReturn:
        """Do one job.

        Args:
            composed: its config as `packed`, where somebody has it already.
            folder: where it lives, as `Places` says; None leaves it to Hydra, for applications of others.
        """
        job = pickle.loads(zlib.decompress(composed)) if composed else self.compose(overrides, number)
        if folder is not None:
            with read_write(job.hydra), open_dict(job.hydra):
                job.hydra.sweep.subdir = os.path.relpath(folder, job.hydra.sweep.dir)
        return run_job(
            hydra_context=self.context,
            task_function=self.task,
            config=job,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )


def packed(job: DictConfig) -> bytes:
    """A job's config for `run`: composing takes a tenth of a second, unpacking a hundredth of that, and 5 kB."""
    # Hydra executes the modules of plugins again, and pickle refuses the classes of the first time.
    return zlib.compress(cloudpickle.dumps(job))
