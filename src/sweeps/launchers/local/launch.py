"""The local launcher: from the jobs that Hydra hands over to their results, on this machine."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, configure_log, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from sweeps.config import ignored_of, mount_of, settings_of
from sweeps.errors import ConfigError
from sweeps.launchers.console import SweepConsole
from sweeps.launchers.fingerprint import Fingerprint
from sweeps.launchers.folders import Folders, title_of
from sweeps.launchers.job import JobSetup
from sweeps.launchers.local.pool import InlineWorker, Pool
from sweeps.launchers.local.slots import check_count, make_slots
from sweeps.launchers.plan import show_plan
from sweeps.launchers.preflight import check_samples, declare, prepare, say_what_is_left, warn
from sweeps.launchers.runs import failures, make_runs, settle
from sweeps.launchers.scheduler import Feed, Policy, Scheduler
from sweeps.launchers.signals import StopRequest, stop_on_signals
from sweeps.launchers.supported import check_supported
from sweeps.launchers.view import View
from sweeps.record.provenance import folder_of_code, note_invocation
from sweeps.results.format import plural


def launch(
    context: HydraContext,
    task: TaskFunction,
    config: DictConfig,
    job_overrides: Sequence[Sequence[str]],
    initial_job_idx: int,
    options: Mapping[str, Any],
    policy: Policy | None = None,
) -> list[JobReturn]:
    """Do what is left of every job; whatever happens in one run touches no other.

    Args:
        policy: that of a sweep which launches several times; else the config's.

    Raises:
        ConfigError: some run cannot work, or an option is wrong; no run was started.
        KeyboardInterrupt: the sweep was stopped; the same command resumes.
    """
    setup_globals()
    configure_log(config.hydra.hydra_logging, config.hydra.verbose)
    folder, mount = Path(config.hydra.sweep.dir), mount_of(config)
    check_supported(config, config.hydra)
    policy = policy or Policy.of(config)
    names = Folders(context.config_loader, config, folder).names(job_overrides, initial_job_idx) if mount else None
    runs = make_runs(job_overrides, initial_job_idx, folder, names, ignored_of(config))
    policy.recall(runs)
    todo = [run for run in runs if run.result is None]
    view = View(title_of(folder), SweepConsole(), total=len(runs))
    setup = JobSetup(context, task, config, {"hydra.sweep.dir": str(folder)})
    with _workers(setup, options, min(len(runs), policy.at_a_time or len(runs)), view) as (pool, stop):
        if mount:
            composition = Fingerprint(config, mount)
            todo = prepare(runs, composition, folder, pool, view, stop, refuse=policy.refuse)
            say_what_is_left(runs, todo, view)
            warn(runs, todo, pool, view, stop)
            if settings_of(config).plan:
                show_plan(runs, todo, pool, stop, view)
                return []
            declare(runs)
            note_invocation(folder, pool.slots, folder_of_code(setup.function))
        view.failed = failures(runs)
        view.finished = len(runs) - len(todo) - view.failed
        view.open()
        with closing(view):
            Scheduler(todo, pool, policy, view).run(stop)
        settle(runs, stopped=bool(stop))
    return [run.result for run in runs if run.result is not None]


def launch_feed(
    context: HydraContext,
    task: TaskFunction,
    config: DictConfig,
    feed: Feed,
    samples: Sequence[Sequence[str]],
    options: Mapping[str, Any],
) -> None:
    """Do the runs that `feed` makes, one whenever a worker is free, until it has no more.

    Raises:
        ConfigError: one of `samples`, overrides of runs as it may make them, cannot work; no run was started.
        KeyboardInterrupt: the sweep was stopped; the same command resumes.
    """
    setup_globals()
    configure_log(config.hydra.hydra_logging, config.hydra.verbose)
    folder = Path(config.hydra.sweep.dir)
    view = View(title_of(folder), SweepConsole(), total=feed.total, finished=feed.finished)
    left = feed.total - feed.finished
    view.note(f"{view.title}: {plural(feed.total, 'trial')}, {feed.finished} already complete, {left} to do")
    setup = JobSetup(context, task, config, {"hydra.sweep.dir": str(folder)})
    # As many workers for what is left as for all of it: the number of threads follows from that.
    with _workers(setup, options, feed.total, view) as (pool, stop):
        if feed.has_more:
            check_samples(samples, folder, pool, view, stop)
            note_invocation(folder, pool.slots, folder_of_code(setup.function))
            view.open()
            with closing(view):
                Scheduler([], pool, Policy.of(config), view, feed=feed).run(stop)


@contextmanager
def _workers(setup: JobSetup, options: Mapping[str, Any], jobs: int, view: View) -> Iterator[tuple[Pool, StopRequest]]:
    """The workers for so many jobs at a time, and a request to stop, which ends in a KeyboardInterrupt."""
    check_count("recycle_after", options.get("recycle_after"), 1)
    given = {key: options[key] for key in ("workers", "gpus", "runs_per_gpu", "threads") if key in options}
    device = _device_of(setup.config)
    slots = make_slots(jobs=jobs, device=device, **given)
    if not slots and mount_of(setup.config) and settings_of(setup.config).timeout:
        raise ConfigError(
            "sweep.timeout ends a worker process, and with hydra.launcher.workers=0 there is none: leave one of them "
            "out, or use hydra.launcher.workers=1. No run was started"
        )
    if any("CUDA_VISIBLE_DEVICES" in slot.environment for slot in slots) and device.startswith("cuda:"):
        setup.pinned["device"] = "cuda"  # in a worker the GPU has another number
    with stop_on_signals() as stop:
        pool = Pool(slots, setup.pack() if slots else b"", options.get("recycle_after"))
        if not slots:
            pool.workers = [InlineWorker(setup, view.tell, lambda: bool(stop))]
        with pool:
            yield pool, stop
    if stop:
        raise KeyboardInterrupt


def _device_of(config: DictConfig) -> str:
    """What the application's key `device`, if it has one, says in torch's words; else auto."""
    device = OmegaConf.select(config, "device", default="auto", throw_on_resolution_failure=False)
    return device if isinstance(device, str) and device.partition(":")[0] in ("cpu", "cuda", "mps") else "auto"
