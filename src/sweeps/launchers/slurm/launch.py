"""The launcher for Slurm: from the jobs that Hydra passes to their results, on any nodes. Never imports torch.

What is left of each run is found out as by the local launcher; then jobs take the place of worker processes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, configure_log, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from sweeps.config import ignored_of, mount_of, settings_of
from sweeps.errors import ConfigError
from sweeps.launchers.console import SweepConsole
from sweeps.launchers.fingerprint import Fingerprint
from sweeps.launchers.folders import Folders, title_of
from sweeps.launchers.job import JobSetup
from sweeps.launchers.local.pool import Pool
from sweeps.launchers.local.slots import Slot, available_cores
from sweeps.launchers.plan import show_plan
from sweeps.launchers.preflight import check_samples, declare, prepare, say_what_is_left, warn
from sweeps.launchers.runs import SweepRun, failures, make_runs, settle
from sweeps.launchers.scheduler import Policy
from sweeps.launchers.signals import stop_on_signals
from sweeps.launchers.slurm.backlog import Backlog, Contact
from sweeps.launchers.slurm.follow import Follower
from sweeps.launchers.slurm.job import release
from sweeps.launchers.slurm.ledger import Ledger, is_live
from sweeps.launchers.slurm.queue import Entry, Queue
from sweeps.launchers.slurm.submit import Options, Submitter
from sweeps.launchers.supported import check_supported
from sweeps.launchers.view import View
from sweeps.record.provenance import folder_of_code, note_invocation
from sweeps.results.format import plural

CHECKERS = 2  # processes that check the runs before they are submitted: a login node is shared with others


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
        ConfigError: some run cannot work, an option is invalid, there is no Slurm or it rejects the jobs.
        KeyboardInterrupt: somebody asked to stop; the same command attaches again.
    """
    setup_globals()
    configure_log(config.hydra.hydra_logging, config.hydra.verbose)
    settings = settings_of(config)
    check_supported(config, config.hydra)
    policy = policy or Policy.of(config)
    chosen = Options.of(options)
    if policy.at_a_time is not None:
        chosen = replace(chosen, array_parallelism=min(chosen.array_parallelism, policy.at_a_time))
    folder = Path(config.hydra.sweep.dir).absolute()
    queue, ledger = Queue(), Ledger(folder)
    names = Folders(context.config_loader, config, folder).names(job_overrides, initial_job_idx)
    runs = make_runs(job_overrides, initial_job_idx, folder, names, ignored_of(config))
    policy.recall(runs)
    setup = JobSetup(context, task, config, {"hydra.sweep.dir": str(folder)})
    view = View(title_of(folder), SweepConsole(), total=len(runs))
    contact = Contact(lambda text: view.note(f"{view.title}: {text}"), chosen.poll)
    under_way = _under_way(runs, contact.patiently(queue.look), ledger)
    with stop_on_signals() as stop:
        with Pool(_checkers(len(runs)), setup.pack()) as pool:
            composition = Fingerprint(config, mount_of(config))
            todo = prepare(runs, composition, folder, pool, view, stop, under_way, refuse=policy.refuse)
            todo = [run for run in todo if not _is_attachable(run, under_way)]
            say_what_is_left(runs, todo, view)
            warn(runs, todo, pool, view, stop)
            if settings.plan:
                show_plan(runs, todo, pool, stop, view, at_a_time=chosen.array_parallelism)
                return []
        declare(runs)
        note_invocation(folder, [f"slurm {chosen.partition or ''}".strip()], folder_of_code(setup.function))
        attached = {
            under_way[run.name]: run
            for run in runs
            if run.name in under_way and run.result is None and run.same_as is None
        }
        if attached:
            view.note(f"{view.title}: attached to {plural(len(attached), 'job')} already queued or running")
        send = Submitter(view.title, queue, ledger, setup, chosen)
        backlog = Backlog(list(todo), queue, ledger, send, contact, contact.say)
        view.failed = failures(runs)
        view.finished = sum(run.result is not None for run in runs) - view.failed
        view.open()
        try:
            Follower(backlog, attached, policy, view, cancel=chosen.on_interrupt == "cancel").run(stop)
        finally:
            view.close()
        settle(runs, stopped=bool(stop))
    if stop:
        raise KeyboardInterrupt
    return [run.result for run in runs if run.result is not None]


def check(context: HydraContext, task: TaskFunction, config: DictConfig, samples: Sequence[Sequence[str]]) -> None:
    """Compose and check runs that a search may try.

    Raises:
        ConfigError: one of them cannot work; no run was started.
        KeyboardInterrupt: somebody asked to stop.
    """
    setup_globals()
    folder = Path(config.hydra.sweep.dir).absolute()
    setup = JobSetup(context, task, config, {"hydra.sweep.dir": str(folder)})
    view = View(title_of(folder), SweepConsole(), total=len(samples))
    with stop_on_signals() as stop, Pool(_checkers(len(samples)), setup.pack()) as pool:
        check_samples(samples, folder, pool, view, stop)


def _under_way(runs: Sequence[SweepRun], entries: Mapping[str, Entry], ledger: Ledger) -> dict[str, str]:
    """The jobs that wait or run, by the name of their run. Runs whose jobs are over are marked as interrupted."""
    jobs = ledger.jobs(entries)
    for run in runs:
        if run.name in jobs and run.folder is not None and not is_live(jobs[run.name], entries):
            release(run.folder, jobs[run.name])
    done = {run.name for run in runs if (record := run.read()) is not None and record.status.is_finished}
    # Slurm lists a job for a while after its run has written its last record: there is nothing to attach to.
    return {name: job for name, job in jobs.items() if is_live(job, entries) and name not in done}


def _is_attachable(run: SweepRun, under_way: Mapping[str, str]) -> bool:
    """Whether a run that was checked is the one that a job is doing.

    Raises:
        ConfigError: the job does a run of that name with other settings.
    """
    if run.name not in under_way:
        return False
    record, job = run.read(), under_way[run.name]
    if record is not None and record.run_id == run.preflight.run_id:
        run.preflight.record = None  # the job's own is the better one
        return True
    raise ConfigError(
        f"{run.label} is in Slurm's queue as job {job}, with other settings: wait for it, end it with "
        f"scancel {job}, or choose another sweep.name=NAME. No run was started"
    )


def _checkers(jobs: int) -> list[Slot]:
    count = max(1, min(CHECKERS, available_cores(), jobs))
    return [Slot(f"check {number}", {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}) for number in range(count)]
