"""The local launcher: from the jobs that Hydra hands over to their results, on this machine."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from hydra.core.utils import JobReturn, configure_log, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from sweeps.launchers.console import SweepConsole
from sweeps.launchers.fingerprint import Composition
from sweeps.launchers.folders import Places, title_of
from sweeps.launchers.job import Setup
from sweeps.launchers.local.inline import InlinePool
from sweeps.launchers.local.pool import Pool
from sweeps.launchers.local.slots import Slot, check_count, make_slots
from sweeps.launchers.plan import show_plan
from sweeps.launchers.preflight import check_samples, declare, prepare, say_what_is_left
from sweeps.launchers.runs import Cell, failures, make_cells, settle
from sweeps.launchers.scheduler import Feed, Policy, Scheduler
from sweeps.launchers.signals import StopRequest, stop_on_signals
from sweeps.launchers.supported import check_honoured
from sweeps.launchers.view import View
from sweeps.record.provenance import note_invocation
from sweeps.vision.config import SweepsConfig


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
        ConfigError: some cell cannot work, or an option is wrong; no run was started.
        KeyboardInterrupt: somebody asked to stop; the same command goes on from there.
    """
    setup_globals()
    configure_log(config.hydra.hydra_logging, config.hydra.verbose)
    folder = Path(config.hydra.sweep.dir)
    ours = OmegaConf.get_type(config) is SweepsConfig  # the launcher serves other Hydra applications as well
    if ours:
        check_honoured(config, config.hydra)
    policy = policy or Policy.of(config)
    names = Places(context.config_loader, config, folder).names(job_overrides, initial_job_idx) if ours else None
    cells = make_cells(job_overrides, initial_job_idx, folder if ours else None, names)
    policy.recall(cells)
    recycle_after = options.get("recycle_after")
    check_count("recycle_after", recycle_after, 1)
    wanted = {key: options.get(key) for key in ("workers", "gpus", "threads")}
    device = str(OmegaConf.select(config, "device", default="auto"))
    at_a_time = min(len(cells), policy.at_a_time or len(cells))
    slots = make_slots(jobs=at_a_time, device=device, runs_per_gpu=options.get("runs_per_gpu", 1), **wanted)
    setup = Setup(context, task, config, _pinned(config, folder, slots))
    view = View(title_of(folder), SweepConsole(), total=len(cells))
    todo = [cell for cell in cells if cell.result is None]
    with stop_on_signals() as stop, _pool(slots, setup, recycle_after, view, stop) as pool:
        if ours:
            composition = Composition(context.config_loader, config.hydra.job.config_name)
            todo = prepare(cells, composition, folder, pool, view, stop, refuse=policy.refuse)
            say_what_is_left(cells, todo, view)
            if config.plan:
                show_plan(cells, todo, pool, stop, view)
                return []
            declare(cells)
            note_invocation(folder, [slot.name for slot in slots])
        _run(cells, todo, pool, policy, view, stop, keep_config=not ours)
    if stop:
        raise KeyboardInterrupt
    return [cell.result for cell in cells if cell.result is not None]


def launch_feed(
    context: HydraContext,
    task: TaskFunction,
    config: DictConfig,
    feed: "CountedFeed",
    samples: Sequence[Sequence[str]],
    options: Mapping[str, Any],
) -> None:
    """Do the cells that `feed` makes, one whenever a worker is free, until it has no more.

    Raises:
        ConfigError: one of `samples`, overrides of cells as it may make them, cannot work; no run was started.
        KeyboardInterrupt: somebody asked to stop; the same command goes on from there.
    """
    setup_globals()
    configure_log(config.hydra.hydra_logging, config.hydra.verbose)
    folder = Path(config.hydra.sweep.dir)
    wanted = {key: options.get(key) for key in ("workers", "gpus", "threads")}
    runs_per_gpu = options.get("runs_per_gpu", 1)
    # As many workers for what is left as for all of it: the number of threads follows from that.
    slots = make_slots(jobs=feed.total, device=str(config.device), runs_per_gpu=runs_per_gpu, **wanted)
    setup = Setup(context, task, config, _pinned(config, folder, slots))
    view = View(title_of(folder), SweepConsole(), total=feed.total, finished=feed.finished)
    view.note(f"{view.title}: {feed.total} trials, {feed.finished} finished before, {feed.total - feed.finished} to do")
    if not feed.has_more:
        return
    with stop_on_signals() as stop, _pool(slots, setup, options.get("recycle_after"), view, stop) as pool:
        check_samples(samples, folder, pool, stop)
        note_invocation(folder, [slot.name for slot in slots])
        view.open()
        try:
            Scheduler([], pool, Policy.of(config), view, keep_config=False, feed=feed).run(stop)
        finally:
            view.close()
    if stop:
        raise KeyboardInterrupt


class CountedFeed(Feed, Protocol):
    """A feed that knows how many cells it makes in all, and how many were done before."""

    total: int
    finished: int


def _run(
    cells: Sequence[Cell],
    todo: Sequence[Cell],
    pool: Pool,
    policy: Policy,
    view: View,
    stop: StopRequest,
    *,
    keep_config: bool,
) -> None:
    view.failed = failures(cells)
    view.finished = len(cells) - len(todo) - view.failed
    view.open()
    try:
        Scheduler(todo, pool, policy, view, keep_config=keep_config).run(stop)
    finally:
        view.close()
    settle(cells, stopped=bool(stop))


def _pool(slots: Sequence[Slot], setup: Setup, recycle_after: int | None, view: View, stop: StopRequest) -> Pool:
    if slots:
        return Pool(slots, setup.pack(), recycle_after)
    return InlinePool(setup, view.tell, lambda: bool(stop))


def _pinned(config: DictConfig, folder: Path, slots: Sequence[Slot]) -> dict[str, Any]:
    """Values that workers must not find out anew: the date is another one there, and a GPU has another number."""
    pinned: dict[str, Any] = {"hydra.sweep.dir": str(folder)}
    if "sweep" in config:
        pinned["sweep"] = str(config.sweep)
    device = str(OmegaConf.select(config, "device", default=""))
    if any("CUDA_VISIBLE_DEVICES" in slot.environment for slot in slots) and device.startswith("cuda:"):
        pinned["device"] = "cuda"
    return pinned
