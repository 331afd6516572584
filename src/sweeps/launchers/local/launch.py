"""The local launcher: from the jobs that Hydra hands over to their results, on this machine."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from hydra.core.utils import JobReturn, configure_log, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from sweeps.config import ignored_of, mount_of, settings_of
from sweeps.launchers.console import SweepConsole
from sweeps.launchers.fingerprint import Fingerprint
from sweeps.launchers.folders import Folders, title_of
from sweeps.launchers.job import JobSetup
from sweeps.launchers.local.inline import InlinePool
from sweeps.launchers.local.pool import Pool
from sweeps.launchers.local.slots import Slot, check_count, make_slots
from sweeps.launchers.plan import show_plan
from sweeps.launchers.preflight import check_samples, declare, prepare, say_what_is_left
from sweeps.launchers.runs import SweepRun, failures, make_runs, settle
from sweeps.launchers.scheduler import Feed, Policy, Scheduler
from sweeps.launchers.signals import StopRequest, stop_on_signals
from sweeps.launchers.supported import check_supported
from sweeps.launchers.view import View
from sweeps.record.provenance import folder_of_code, note_invocation


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
    runs = make_runs(job_overrides, initial_job_idx, folder if mount else None, names, ignored_of(config))
    policy.recall(runs)
    recycle_after = options.get("recycle_after")
    check_count("recycle_after", recycle_after, 1)
    wanted = {key: options.get(key) for key in ("workers", "gpus", "threads")}
    at_a_time = min(len(runs), policy.at_a_time or len(runs))
    slots = make_slots(jobs=at_a_time, device=_device_of(config), runs_per_gpu=options.get("runs_per_gpu", 1), **wanted)
    setup = JobSetup(context, task, config, _pinned(config, folder, slots))
    view = View(title_of(folder), SweepConsole(), total=len(runs))
    todo = [run for run in runs if run.result is None]
    with stop_on_signals() as stop, _pool(slots, setup, recycle_after, view, stop) as pool:
        if mount:
            composition = Fingerprint(context.config_loader, config.hydra.job.config_name, mount)
            todo = prepare(runs, composition, folder, pool, view, stop, refuse=policy.refuse)
            say_what_is_left(runs, todo, view)
            if settings_of(config).plan:
                show_plan(runs, todo, pool, stop, view)
                return []
            declare(runs)
            note_invocation(folder, [slot.name for slot in slots], folder_of_code(setup.function))
        _run(runs, todo, pool, policy, view, stop, keep_config=not mount)
    if stop:
        raise KeyboardInterrupt
    return [run.result for run in runs if run.result is not None]


def launch_feed(
    context: HydraContext,
    task: TaskFunction,
    config: DictConfig,
    feed: "CountedFeed",
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
    wanted = {key: options.get(key) for key in ("workers", "gpus", "threads")}
    runs_per_gpu = options.get("runs_per_gpu", 1)
    # As many workers for what is left as for all of it: the number of threads follows from that.
    slots = make_slots(jobs=feed.total, device=_device_of(config), runs_per_gpu=runs_per_gpu, **wanted)
    setup = JobSetup(context, task, config, _pinned(config, folder, slots))
    view = View(title_of(folder), SweepConsole(), total=feed.total, finished=feed.finished)
    view.note(
        f"{view.title}: {feed.total} trials, {feed.finished} already complete, {feed.total - feed.finished} to do"
    )
    if not feed.has_more:
        return
    with stop_on_signals() as stop, _pool(slots, setup, options.get("recycle_after"), view, stop) as pool:
        check_samples(samples, folder, pool, stop)
        note_invocation(folder, [slot.name for slot in slots], folder_of_code(setup.function))
        view.open()
        try:
            Scheduler([], pool, Policy.of(config), view, keep_config=False, feed=feed).run(stop)
        finally:
            view.close()
    if stop:
        raise KeyboardInterrupt


class CountedFeed(Feed, Protocol):
    """A feed that knows how many runs it makes in all, and how many were done before."""

    total: int
    finished: int


def _run(
    runs: Sequence[SweepRun],
    todo: Sequence[SweepRun],
    pool: Pool,
    policy: Policy,
    view: View,
    stop: StopRequest,
    *,
    keep_config: bool,
) -> None:
    view.failed = failures(runs)
    view.finished = len(runs) - len(todo) - view.failed
    view.open()
    try:
        Scheduler(todo, pool, policy, view, keep_config=keep_config).run(stop)
    finally:
        view.close()
    settle(runs, stopped=bool(stop))


def _pool(slots: Sequence[Slot], setup: JobSetup, recycle_after: int | None, view: View, stop: StopRequest) -> Pool:
    if slots:
        return Pool(slots, setup.pack(), recycle_after)
    return InlinePool(setup, view.tell, lambda: bool(stop))


def _pinned(config: DictConfig, folder: Path, slots: Sequence[Slot]) -> dict[str, Any]:
    """Values that workers must not find out anew: the date is another one there, and a GPU has another number."""
    pinned: dict[str, Any] = {"hydra.sweep.dir": str(folder)}
    if any("CUDA_VISIBLE_DEVICES" in slot.environment for slot in slots) and _device_of(config).startswith("cuda:"):
        pinned["device"] = "cuda"
    return pinned


def _device_of(config: DictConfig) -> str:
    """What the application's key `device`, if it has one, says in torch's words; else auto."""
    device = OmegaConf.select(config, "device", default="auto", throw_on_resolution_failure=False)
    return device if isinstance(device, str) and device.partition(":")[0] in ("cpu", "cuda", "mps") else "auto"
