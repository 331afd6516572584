"""Around a training function: one run, from its composed config to its record."""

import contextlib
import functools
import os
import sys
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
from sweeps.decision import Action, check, decide
from sweeps.errors import ConfigError, RecordError, RunFailed, SweepsError, in_a_line
from sweeps.launchers.console import current_progress
from sweeps.launchers.supported import check_supported
from sweeps.progress import Progress
from sweeps.pruners import PAUSED, PRUNED, judge_of
from sweeps.record.files import atomic_write
from sweeps.record.lock import owned
from sweeps.record.masking import shown_yaml
from sweeps.record.processes import device_name, release_memory
from sweeps.record.provenance import environment, folder_of_code, processor
from sweeps.record.recording import StopRun, new_record, recording
from sweeps.record.records import RunDir, RunRecord, Status
from sweeps.record.resolved import Resolved, resolve
from sweeps.recorded_run import RecordedRun
from sweeps.trackers import Trackers, make_trackers

Task = Callable[[DictConfig], Any]
EXIT_INTERRUPTED = 130
NO_VALUE = float("nan")  # what a sweeper gets of a run without an objective


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
        """Do what is left of the run, in Hydra's output folder: nothing if it is complete. Returns its objective.

        Raises:
            CompactHydraException: the run could not be done; its record says why.
            KeyboardInterrupt: the sweep is being stopped; the run has its checkpoint.
        """
        if mount_of(cfg) is None:  # an application that uses the launcher alone
            return self.task(cfg)
        hydra = HydraConfig.get()
        folder = RunDir(Path(hydra.runtime.output_dir).absolute())
        is_single = hydra.mode is RunMode.RUN
        sweep = folder.path.parent if is_single else Path(hydra.runtime.cwd, hydra.sweep.dir).absolute()
        # Our sweepers own the folder of the whole sweep; without them two commands could do the same run at once.
        is_owned = not is_single and str(hydra.sweeper.get("_target_")).startswith("hydra_plugins.sweeps.")
        with without_traceback(), current_progress() as progress:
            try:
                check_supported(cfg, hydra)
                folder.refuse_links()
                with contextlib.nullcontext() if is_owned else owned(folder.path):
                    resolved = resolve(cfg, (folder.path, sweep))
                    record = do_run(self.task, cfg, folder, resolved, sweep, self.output_subdir, progress)
            except ConfigError:
                with contextlib.suppress(OSError):  # it holds something; else it is empty, as Hydra has made it
                    if folder.path != Path(hydra.runtime.cwd):
                        folder.path.rmdir()
                raise
        return NO_VALUE if record.objective.value is None else record.objective.value


def wrapped(task: Task, output_subdir: str | None) -> "EngineTask":
    """`task` as an `EngineTask`, which it may be already."""
    return task if isinstance(task, EngineTask) else EngineTask(task, output_subdir)


def recorded(task: Task) -> Task:
    """A decorator, below `@hydra.main`: a single run, without -m, is recorded and resumed like one of a sweep."""

    @functools.wraps(task)
    def recorded_task(cfg: DictConfig) -> Any:
        if running.is_in_sweep():
            return task(cfg)
        with interruptible():
            return EngineTask(task)(cfg)

    return recorded_task


@contextmanager
def without_traceback() -> Iterator[None]:
    """Let Hydra, in whatever application, print errors that are the user's to mend as a line and no traceback."""
    try:
        yield
    except SweepsError as error:
        raise CompactHydraException(f"error: {error}") from error


@contextmanager
def interruptible() -> Iterator[None]:
    """Around a whole command: when Ctrl-C ends it, it says so in a line, and exits with 130 as shells expect."""
    try:
        yield
    except KeyboardInterrupt as stop:
        print(f"interrupted; {str(stop) or 'the same command with the same sweep.name=NAME resumes'}", file=sys.stderr)
        raise SystemExit(EXIT_INTERRUPTED) from stop


def do_run(
    task: Task,
    cfg: DictConfig,
    folder: RunDir,
    resolved: Resolved,
    sweep: Path,
    output_subdir: str | None,
    progress: Progress,
) -> RunRecord:
    """Do what is left of a run; Hydra's own config is that of its job. `sweep` is the folder of its sweep.

    Raises:
        SweepsError: the run could not be done; its record says why.
        KeyboardInterrupt: the sweep is being stopped.
    """
    decision = decide(folder, resolved, sweep)
    previous = decision.previous
    if decision.action is Action.SKIP:
        assert previous is not None
        if decision.is_outdated:
            folder.write(previous)
        if previous.run_id == resolved.run_id and previous.status.is_final:
            folder.checkpoint.unlink(missing_ok=True)  # killed after its last record, a run could not do so itself
        progress.end(previous, skipped=True)
        return previous
    if decision.action is Action.REPLACE:
        folder.clear()
    overrides = cast(list[str], OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False))
    name, title = os.path.relpath(folder.path, sweep), str(resolved.settings["name"] or sweep.name)
    record = new_record(resolved, name=name, sweep=title, overrides=overrides)
    was_stopped = False
    if previous is not None:
        record.attempts, record.composition, record.facts = previous.attempts, previous.composition, previous.facts
        record.steps, record.metrics, record.seconds = previous.steps, previous.metrics, previous.seconds
        was_stopped = previous.error is not None and previous.error.kind in (PRUNED, PAUSED)
    record.environment = environment(processor(), folder_of_code(task))
    working = Path.cwd()
    try:
        with recording(folder, record, resolved.config, progress.end):
            for path, text in _sources(cfg, overrides, output_subdir).items() if output_subdir else ():
                (folder.path / path).parent.mkdir(exist_ok=True)
                atomic_write(folder.path / path, text.encode(), durable=False, private=True)
            record.facts |= check(resolved, cfg, sweep, str(task.__module__))
            release_memory()
            trackers = Trackers(make_trackers(resolved.settings["tracker"]), folder, record)
            judge = judge_of(resolved, sweep)
            run = RecordedRun(folder, record, resolved, judge, trackers, progress, was_stopped=was_stopped)
            with run.tracked(), running.making_current(run):
                run.finish(_returned(task, cfg, run))
            record.environment["device"] = device_name() or record.environment["device"]
    except StopRun as stop:
        raise KeyboardInterrupt from stop
    except SweepsError:
        raise
    except Exception as error:
        raise _failure(error, record, folder, resolved.mount) from error
    finally:
        os.chdir(working)  # the next run of this process starts where this one did
    return record


def _returned(task: Task, cfg: DictConfig, run: RecordedRun) -> Any:
    """What the training function returns. One that has swallowed a `StopRun` is stopped all the same."""
    returned = None
    try:
        returned = task(cfg)
    except SystemExit as end:  # a script that ends by sys.exit(main()); but not one that leaves half way
        if end.code not in (None, 0) or not run.is_through:
            raise
    if run.stopped is not None:
        raise run.stopped
    return returned


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
    return RunFailed(f"{record.name} failed: {in_a_line(error)}. The traceback is in {folder.record}")


def _sources(cfg: DictConfig, overrides: list[str], output_subdir: str) -> dict[str, str]:
    """What Hydra writes into `.hydra/`, without secrets."""
    hydra = OmegaConf.create({"hydra": HydraConfig.get()})
    found = {"config": cfg, "overrides": overrides, "hydra": hydra}
    return {f"{output_subdir}/{name}.yaml": shown_yaml(one) for name, one in found.items()}
