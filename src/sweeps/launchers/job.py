"""What every job of a sweep shares, and how one is composed, checked and run. Never imports torch."""

import copy
import os
import pickle
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from inspect import unwrap
from pathlib import Path
from typing import Any, cast

import cloudpickle
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, run_job
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict, read_write

from sweeps.config import mount_of
from sweeps.decision import Action, check, decide
from sweeps.errors import SweepsError
from sweeps.hooks import advise_hook, cost_hook
from sweeps.launchers.folders import compose, hydra_config
from sweeps.launchers.runs import Cost, Preflight
from sweeps.record.recording import new_record
from sweeps.record.records import RunDir
from sweeps.record.resolved import resolve

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
        return cast(TaskFunction, unwrap(getattr(self.task, "task", self.task)))

    @property
    def home(self) -> str:
        """The module of the training function."""
        return str(self.function.__module__)

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

    def run(self, overrides: Sequence[str], number: int, composed: bytes = b"", folder: str = "") -> JobReturn:
        """Do one job.

        Args:
            composed: its config as `packed`, where somebody has it already.
            folder: where it lives, as `Folders` says; applications without the engine's node leave that to Hydra.
        """
        job = unpacked(composed) if composed else self.compose(overrides, number)
        is_ours = mount_of(self.config) is not None
        if is_ours:
            RunDir(folder).refuse_links()  # Hydra opens the run's log before the run can look
            with read_write(job.hydra), open_dict(job.hydra):
                job.hydra.sweep.subdir = os.path.relpath(folder, job.hydra.sweep.dir)
                job.hydra.output_subdir = None  # the run itself writes it, once the folder is known to be its own
        result = run_job(
            hydra_context=self.context,
            task_function=self.task,
            config=job,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )
        if is_ours:  # the parent of a large sweep keeps thousands of results
            result.cfg = result.hydra_cfg = None
        return result


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


def unpacked(data: bytes) -> DictConfig:
    """The config of a job that was `packed`."""
    return cast(DictConfig, pickle.loads(zlib.decompress(data)))


def inspect(setup: JobSetup, folder: Path, runs: Sequence[tuple[str, int, Sequence[str], str]]) -> list[Preflight]:
    """Findings on `runs` of the sweep in `folder`: each (folder below it, number, overrides, hash of composition)."""
    return [inspect_run(setup, folder.absolute(), *run) for run in runs]


def inspect_run(
    setup: JobSetup, sweep: Path, name: str, number: int, overrides: Sequence[str], composition: str
) -> Preflight:
    """Findings on one run of the sweep in the folder `sweep`."""
    folder = RunDir(sweep / name)
    try:
        job = setup.compose(overrides, number)
        with hydra_config(job, folder.path):
            cfg = without_hydra(job)
            resolved = resolve(cfg, (folder.path, sweep))
            facts = check(resolved, cfg, sweep, setup.home)
            decision = decide(folder, resolved, sweep)
    except SweepsError as error:
        return Preflight(error=str(error))
    previous = decision.previous
    kept = previous is not None and previous.run_id != resolved.run_id  # on_mismatch=keep: another run, which stays
    title = str(resolved.settings["name"] or sweep.name)
    record = previous or new_record(resolved, name=name, sweep=title, overrides=overrides)
    declare = not kept and (previous is None or decision.is_outdated or record.composition != composition)
    record.composition = composition
    record.facts = facts | record.facts
    finished = decision.action is Action.SKIP
    left = None if resolved.max_steps is None else max(resolved.max_steps - (record.steps or 0), 0)
    return Preflight(
        run_id=resolved.run_id,
        setting_id=resolved.setting_id,
        finished=finished,
        record=record if declare else None,
        replaces=decision.action is Action.REPLACE,
        steps_left=0 if finished else left,
        facts=facts,
        composed=b"" if finished else packed(job),
    )


def cost(setup: JobSetup, runs: Sequence[tuple[Path, bytes]]) -> list[Cost]:
    """What the application's hook says of `runs`, each (folder, its config as `packed`); none where it has no hook."""
    costs = []
    for folder, composed in runs:
        job = unpacked(composed)
        with hydra_config(job, folder.absolute()):
            cfg = without_hydra(job)
            resolved = resolve(cfg, (folder.absolute(),))
            hook = resolved.settings["hooks"]["cost"]
            if not hook:
                return []
            costs.append(Cost(**cost_hook(hook, f"{resolved.mount}.hooks.cost", setup.home, cfg)))
    return costs


def advise(setup: JobSetup, folder: Path, composed: bytes, swept: Sequence[str]) -> list[str]:
    """What the application's hook says of a sweep over the keys `swept`; `composed` is the config of one run."""
    job = unpacked(composed)
    with hydra_config(job, folder.absolute()):
        cfg = without_hydra(job)
        resolved = resolve(cfg, (folder.absolute(),))
        hook = resolved.settings["hooks"]["advise"]
        return advise_hook(hook, f"{resolved.mount}.hooks.advise", setup.home, cfg, swept) if hook else []


def without_hydra(job: DictConfig) -> DictConfig:
    """A job's own config."""
    own = job.copy()
    with open_dict(own):
        del own["hydra"]
    return own
