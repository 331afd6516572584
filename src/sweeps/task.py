"""Around a training function: one run, from its composed config to its record."""

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from sweeps import run as running
from sweeps.config import mount_of
from sweeps.decision import Action, check, decide, judge_for
from sweeps.errors import ConfigError, RecordError, RunFailed, SweepsError
from sweeps.launchers.console import current_progress
from sweeps.launchers.folders import check_single
from sweeps.launchers.supported import check_supported
from sweeps.progress import Progress
from sweeps.pruners import PAUSED, PRUNED
from sweeps.record.files import atomic_write
from sweeps.record.masking import shown_yaml
from sweeps.record.processes import device_name, release_memory
from sweeps.record.provenance import environment, folder_of_code, processor
from sweeps.record.recording import StopRun, new_record, recording
from sweeps.record.records import RunDir, RunRecord, Status
from sweeps.record.resolved import Resolved, resolve
from sweeps.recorded_run import RecordedRun
from sweeps.trackers import Trackers, make_trackers

Task = Callable[[DictConfig], Any]
NO_VALUE = float("nan")  # what a sweeper gets of a run without an objective


class Interrupted(KeyboardInterrupt):
    """A run that stopped where it was asked to, with its checkpoint written."""


class EngineTask:
    """A training function as a launcher calls it: with a record, resume, pruning and trackers.

    Args:
        task: the user's function.
        output_subdir: where Hydra would keep the config that it composed; written here, once the folder is known to be
            the run's own.
    """

    def __init__(self, task: Task, output_subdir: str | None = ".hydra") -> None:
        self.task, self.output_subdir = task, output_subdir

    def __call__(self, cfg: DictConfig) -> Any:
        """Do what is left of the run; returns its objective."""
        if mount_of(cfg) is None:  # an application that uses the launcher alone
            return self.task(cfg)
        with without_traceback():
            return perform(self.task, cfg, self.output_subdir)


def wrapped(task: Task, output_subdir: str | None) -> "EngineTask":
    """`task` as an `EngineTask`, which it may be already."""
    return task if isinstance(task, EngineTask) else EngineTask(task, output_subdir)


def recorded(task: Task) -> Task:
    """A decorator, below `@hydra.main`: a single run, without -m, is recorded and resumed like one of a sweep."""

    @functools.wraps(task)
    def recorded_task(cfg: DictConfig) -> Any:
        if running.current_run().in_sweep or mount_of(cfg) is None:
            return task(cfg)
        with without_traceback():
            return perform(task, cfg, ".hydra")

    return recorded_task


@contextmanager
def without_traceback() -> Iterator[None]:
    """Let Hydra, in whatever application, print errors that are the user's to mend as a line and no traceback."""
    try:
        yield
    except SweepsError as error:
        raise CompactHydraException(f"error: {error}") from error


def perform(task: Task, cfg: DictConfig, output_subdir: str | None) -> float:
    """Do what is left of one run, in Hydra's output folder: nothing if it is complete, else the rest or all of it.

    Raises:
        SweepsError: the run could not be done; its record says why.
        Interrupted: the sweep is being stopped.
    """
    hydra = HydraConfig.get()
    folder = RunDir(Path(hydra.runtime.output_dir).absolute())
    is_single = hydra.mode is RunMode.RUN
    sweep = folder.path.parent if is_single else Path(hydra.runtime.cwd, hydra.sweep.dir).absolute()
    with _clean_folder(folder):
        check_supported(cfg, hydra)
        if is_single:
            check_single(folder.path)
        resolved = resolve(cfg, (folder.path, sweep))
    overrides = cast(list[str], OmegaConf.to_container(hydra.overrides.task, resolve=False))
    name = folder.path.name if is_single else os.path.relpath(folder.path, sweep)
    with current_progress() as progress:
        record = do_run(task, cfg, folder, resolved, sweep, name, overrides, output_subdir, progress)
    return NO_VALUE if record.objective.value is None else record.objective.value


def do_run(
    task: Task,
    cfg: DictConfig,
    folder: RunDir,
    resolved: Resolved,
    sweep: Path,
    name: str,
    overrides: list[str],
    output_subdir: str | None,
    progress: Progress,
) -> RunRecord:
    """Do what is left of a run; Hydra's own config is that of its job.

    Args:
        sweep: the folder of its sweep.
        name: its own folder, relative to that.

    Raises:
        SweepsError: the run could not be done; its record says why.
        Interrupted: the sweep is being stopped.
    """
    decision = decide(folder, resolved, sweep)
    previous = decision.previous
    if decision.action is Action.SKIP:
        assert previous is not None
        if previous.run_id == resolved.run_id and previous.status.is_final:
            folder.checkpoint.unlink(missing_ok=True)  # killed after its last record, a run could not do so itself
        progress.end(previous, skipped=True)
        return previous
    if decision.replaces:
        folder.clear()
    record = new_record(resolved, name=name, sweep=str(resolved.settings["name"] or sweep.name), overrides=overrides)
    if previous is not None:
        record.attempts, record.composition, record.facts = previous.attempts, previous.composition, previous.facts
        record.steps, record.metrics, record.seconds = previous.steps, previous.metrics, previous.seconds
    code = folder_of_code(task)
    record.environment = environment(processor(), code)
    working = Path.cwd()
    try:
        with recording(folder, record, resolved.config, progress.end):
            for path, text in _sources(cfg, overrides, output_subdir).items():
                (folder.path / path).parent.mkdir(exist_ok=True)
                atomic_write(folder.path / path, text.encode(), durable=False, private=True)
            record.facts |= check(resolved, cfg, sweep, str(task.__module__))
            release_memory()
            _train(task, cfg, folder, record, resolved, sweep, progress, previous)
    except StopRun as stop:
        raise Interrupted from stop
    except SweepsError:
        raise
    except Exception as error:
        raise _failure(error, record, folder, resolved.mount) from error
    finally:
        os.chdir(working)  # the next run of this process starts where this one did
    return record


def _failure(error: Exception, record: RunRecord, folder: RunDir, mount: str) -> SweepsError:
    """What to tell of a run that failed with `error`, which its record says too, unless it could not be written."""
    try:
        is_written = folder.read_as_written().status is Status.FAILED
    except RecordError:
        is_written = False
    if isinstance(error, OSError) and not is_written:
        return RecordError(
            f"cannot write {error.filename or folder.path}: {error.strerror}; choose another folder: "
            f"{mount}.output=FOLDER"
        )
    return RunFailed(f"{record.name} failed: {type(error).__name__}: {error}. The traceback is in {folder.record}")


def _train(
    task: Task,
    cfg: DictConfig,
    folder: RunDir,
    record: RunRecord,
    resolved: Resolved,
    sweep: Path,
    progress: Progress,
    previous: RunRecord | None,
) -> None:
    settings = resolved.settings
    run = RecordedRun(
        folder,
        record,
        judge=judge_for(resolved, sweep),
        trackers=Trackers(make_trackers(settings["tracker"]), folder, record),
        progress=progress,
        seed=resolved.seed,
        settings=settings,
        was_stopped=previous is not None and previous.error is not None and previous.error.kind in (PRUNED, PAUSED),
    )
    with run.tracked(), running.making_current(run):
        try:
            returned = task(cfg)
        except SystemExit as end:  # a script that ends by sys.exit(main()); but not one that leaves half way
            if end.code not in (None, 0) or not run.is_through:
                raise
            returned = None
        if run.stopped is not None:  # the training function has swallowed it
            raise run.stopped
        run.finish(returned)
    record.environment["device"] = device_name() or record.environment["device"]


def _sources(cfg: DictConfig, overrides: list[str], output_subdir: str | None) -> dict[str, str]:
    """What Hydra writes into `.hydra/`, without secrets."""
    if output_subdir is None:
        return {}
    return {
        f"{output_subdir}/config.yaml": shown_yaml(cfg),
        f"{output_subdir}/overrides.yaml": shown_yaml(overrides),
        f"{output_subdir}/hydra.yaml": shown_yaml(OmegaConf.create({"hydra": HydraConfig.get()})),
    }


@contextmanager
def _clean_folder(folder: RunDir) -> Iterator[None]:
    """A run that is refused leaves no empty folder, which Hydra has made."""
    try:
        yield
    except ConfigError:
        with contextlib.suppress(OSError):  # it holds something
            folder.path.rmdir()
        raise
