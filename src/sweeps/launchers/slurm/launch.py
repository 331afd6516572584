"""The launcher for Slurm: from the jobs that Hydra hands over to their results, on whatever nodes. Never imports torch.

What cells are and what is left of them is found out as by the local launcher; from there on jobs take the place of
worker processes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, configure_log, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from sweeps.errors import ConfigError
from sweeps.launchers.console import SweepConsole
from sweeps.launchers.fingerprint import Composition
from sweeps.launchers.folders import Places, title_of
from sweeps.launchers.job import Setup
from sweeps.launchers.local.pool import Pool
from sweeps.launchers.local.slots import Slot, available_cores
from sweeps.launchers.plan import show_plan
from sweeps.launchers.preflight import check_samples, declare, prepare, say_what_is_left
from sweeps.launchers.runs import Cell, failures, make_cells, settle
from sweeps.launchers.scheduler import Policy
from sweeps.launchers.signals import StopRequest, stop_on_signals
from sweeps.launchers.slurm.follow import Follower
from sweeps.launchers.slurm.job import release
from sweeps.launchers.slurm.ledger import Ledger, is_live
from sweeps.launchers.slurm.queue import Contact, Entry, Queue
from sweeps.launchers.slurm.submit import Options, Submitter, make_executor
from sweeps.launchers.supported import check_honoured
from sweeps.launchers.view import View
from sweeps.record.provenance import note_invocation
from sweeps.results.format import plural
from sweeps.vision.config import SweepsConfig

CHECKERS = 2  # processes that check the cells before they are submitted: a login node is shared with others


def launch(
    context: HydraContext,
    task: TaskFunction,
    config: DictConfig,
    job_overrides: Sequence[Sequence[str]],
    initial_job_idx: int,
    options: Mapping[str, Any],
    policy: Policy | None = None,
) -> list[JobReturn]:
    """Do what is left of every job on the cluster, and wait for it.

    Args:
        policy: that of a sweep which launches several times; else the config's.

    Raises:
        ConfigError: some cell cannot work, an option is wrong, there is no Slurm or it refuses; see the message.
        KeyboardInterrupt: somebody asked to stop; the same command attaches again.
    """
    setup_globals()
    configure_log(config.hydra.hydra_logging, config.hydra.verbose)
    if OmegaConf.get_type(config) is not SweepsConfig:
        raise ConfigError("hydra/launcher=slurm serves the application `sweeps` alone; others: hydra-submitit-launcher")
    check_honoured(config, config.hydra)
    policy = policy or Policy.of(config)
    chosen = Options.of(options)
    if policy.at_a_time is not None:
        chosen = replace(chosen, array_parallelism=min(chosen.array_parallelism, policy.at_a_time))
    folder = Path(config.hydra.sweep.dir).absolute()
    queue, ledger = Queue(), Ledger(folder)
    make_executor(ledger.folder)  # without submitit there is no need to check anything
    names = Places(context.config_loader, config, folder).names(job_overrides, initial_job_idx)
    cells = make_cells(job_overrides, initial_job_idx, folder, names)
    policy.recall(cells)
    setup = Setup(context, task, config, {"hydra.sweep.dir": str(folder), "sweep": str(config.sweep)})
    view = View(title_of(folder), SweepConsole(), total=len(cells))
    contact = Contact(lambda text: view.note(f"{view.title}: {text}"), chosen.poll)
    under_way = _under_way(cells, contact.patiently(queue.look), ledger)
    with stop_on_signals() as stop:
        with Pool(_checkers(len(cells)), setup.pack()) as pool:
            composition = Composition(context.config_loader, config.hydra.job.config_name)
            todo = prepare(cells, composition, folder, pool, view, stop, under_way, here=False, refuse=policy.refuse)
            todo = [cell for cell in todo if not _is_attachable(cell, under_way)]
            say_what_is_left(cells, todo, view)
            if config.plan:
                show_plan(cells, todo, pool, stop, view, at_a_time=chosen.array_parallelism)
                return []
        declare(cells)
        note_invocation(folder, [f"slurm {chosen.partition or ''}".strip()])
        _follow(cells, todo, under_way, queue, ledger, setup, chosen, policy, view, contact, stop)
    if stop:
        raise KeyboardInterrupt
    return [cell.result for cell in cells if cell.result is not None]


def check(context: HydraContext, task: TaskFunction, config: DictConfig, samples: Sequence[Sequence[str]]) -> None:
    """Compose and check cells that a search may come to.

    Raises:
        ConfigError: one of them cannot work; no run was started.
        KeyboardInterrupt: somebody asked to stop.
    """
    setup_globals()
    folder = Path(config.hydra.sweep.dir).absolute()
    setup = Setup(context, task, config, {"hydra.sweep.dir": str(folder), "sweep": str(config.sweep)})
    with stop_on_signals() as stop, Pool(_checkers(len(samples)), setup.pack()) as pool:
        check_samples(samples, folder, pool, stop, here=False)


def _follow(
    cells: Sequence[Cell],
    todo: Sequence[Cell],
    under_way: Mapping[str, str],
    queue: Queue,
    ledger: Ledger,
    setup: Setup,
    options: Options,
    policy: Policy,
    view: View,
    contact: Contact,
    stop: StopRequest,
) -> None:
    attached = {
        under_way[cell.name]: cell
        for cell in cells
        if cell.name in under_way and cell.result is None and cell.same_as is None
    }
    if attached:
        view.note(f"{view.title}: attached to {plural(len(attached), 'job')} that are queued or running already")
    submit = Submitter(view.title, queue, ledger, setup, options)
    follower = Follower(
        todo,
        attached,
        queue=queue,
        ledger=ledger,
        submit=submit,
        policy=policy,
        view=view,
        contact=contact,
        poll=options.poll,
        cancel=options.on_interrupt == "cancel",
    )
    view.failed = failures(cells)
    view.finished = sum(cell.result is not None for cell in cells) - view.failed
    view.open()
    try:
        follower.run(stop)
    finally:
        view.close()
    settle(cells, stopped=bool(stop))


def _under_way(cells: Sequence[Cell], entries: Mapping[str, Entry], ledger: Ledger) -> dict[str, str]:
    """The jobs that wait or run, by the name of their cell. Runs of jobs that are over say so afterwards."""
    jobs = ledger.jobs(entries)
    for cell in cells:
        if cell.name in jobs and cell.folder is not None and not is_live(jobs[cell.name], entries):
            release(cell.folder, jobs[cell.name])
    done = {cell.name for cell in cells if (record := cell.read()) is not None and record.status.is_finished}
    # Slurm lists a job for a while after its run has written its last record: there is nothing to attach to.
    return {name: job for name, job in jobs.items() if is_live(job, entries) and name not in done}


def _is_attachable(cell: Cell, under_way: Mapping[str, str]) -> bool:
    """Whether a cell that was checked is the one that a job is doing.

    Raises:
        ConfigError: the job does a cell of that name with other settings.
    """
    if cell.name not in under_way:
        return False
    record, job = cell.read(), under_way[cell.name]
    if record is not None and record.run_id == cell.report.run_id:
        cell.report.record = None  # the job's own is the better one
        return True
    raise ConfigError(
        f"{cell.label} is in Slurm's queue as job {job}, with other settings: wait for it, end it with "
        f"scancel {job}, or name another sweep=NAME. No run was started"
    )


def _checkers(jobs: int) -> list[Slot]:
    count = max(1, min(CHECKERS, available_cores(), jobs))
    return [Slot(f"check {number}", {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}) for number in range(count)]
