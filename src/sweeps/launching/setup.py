"""What every job of a sweep shares, and how one is composed and run. Never imports torch."""

import pickle
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cloudpickle
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, run_job
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict


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
        """The setup and Hydra's global state, for another process."""
        return bytes(cloudpickle.dumps((self, Singleton.get_state())))

    @staticmethod
    def unpack(data: bytes) -> "Setup":
        """The setup, with Hydra's global state put in place."""
        setup, state = cloudpickle.loads(data)
        Singleton.set_state(state)
        assert isinstance(setup, Setup)
        return setup

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """The config of one job, with Hydra's own node."""
        job = self.context.config_loader.load_sweep_config(self.config, list(overrides))
        with open_dict(job):
            for key, value in self.pinned.items():
                OmegaConf.update(job, key, value)
        return job

    def run(self, overrides: Sequence[str], number: int, composed: bytes = b"") -> JobReturn:
        """Do one job in its own output folder; `composed` is its config as `packed`, where somebody has it already."""
        job = pickle.loads(zlib.decompress(composed)) if composed else self.compose(overrides)
        with open_dict(job):
            job.hydra.job.id = str(number)
            job.hydra.job.num = number
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
