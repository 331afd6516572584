"""`hydra/sweeper=grid`: every combination of the swept values is a run. Never imports torch."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console

from sweeps.config import AUTO, mount_of, settings_of
from sweeps.errors import ConfigError, RunFailed
from sweeps.launchers.console import SweepConsole
from sweeps.launchers.folders import Folders
from sweeps.launchers.local.slots import check_count
from sweeps.launchers.runs import NotDone
from sweeps.launchers.supported import check_supported
from sweeps.pruners import rounds_of
from sweeps.record.records import RunDir
from sweeps.sweepers.expansion import expand
from sweeps.sweepers.launches import Launches, owned_folder, summarize, write_config

if TYPE_CHECKING:
    from hydra_plugins.sweeps.plugins import GridSweeper


def sweep(sweeper: "GridSweeper", arguments: list[str]) -> list[list[JobReturn]]:
    """Launch every combination of the swept values, `max_batch_size` at a time.

    An application without the engine's node gets what Hydra's own sweeper does, and no records.

    Raises:
        ConfigError: an option is wrong, or some run cannot work; no run was started.
        RunFailed: some run failed.
    """
    config, context = sweeper.config, sweeper.hydra_context
    assert config is not None
    assert context is not None
    mount = mount_of(config)
    check_supported(config, config.hydra)
    parser = OverridesParser.create(config_loader=context.config_loader)
    swept = [f"{key}={value}" for key, value in (sweeper.params or {}).items()]
    overrides = parser.parse_overrides(swept + arguments)
    try:
        runs = expand(overrides, config)  # of equal keys the last one counts
    except ConfigError as error:
        raise ConfigError(f"{error}. No run was started") from error
    check_count("hydra.sweeper.max_batch_size", sweeper.max_batch_size, 1)
    launches = Launches(sweeper.launcher, config, sweeper.max_batch_size)
    if not launches.is_ours:
        sweeper.validate_batch_is_legal(runs)  # our launchers do so themselves, in their workers
    if mount is None:
        with owned_folder(config) as folder:
            write_config(config, folder)
            jobs = launches.launch(runs)
        for job in jobs:
            _ = job.return_value  # raises the error of a job that failed, as Hydra's own sweeper does
        return [jobs]
    console, settings = SweepConsole(), settings_of(config)
    rounds: list[list[str]] = [[]] if settings.plan else _rounds(context.config_loader, config, mount, runs, console)
    left_out = ""
    results: list[JobReturn] = []
    with owned_folder(config) as folder:
        folders = Folders(context.config_loader, config, folder)
        folders.names(runs)  # refuses runs that would share a folder
        if settings.plan:
            if settings.repeats == AUTO:
                most = f"{settings.max_repeats} seeds each" + (
                    f", {settings.max_runs} runs in all" if settings.max_runs else ""
                )
                console.print(f"the first seed of a race, which may take at most {most}:", highlight=False)
            return [launches.launch(runs)]
        write_config(config, folder)
        blocks: Iterable[list[list[str]]] = [runs]
        if settings.repeats == AUTO or settings.confirm:
            from sweeps.sweepers.race import Race  # the statistics take longer to import than all of a small sweep

            race = Race([run for run in runs if run[0] == runs[0][0]], settings, folders, console)
            blocks = race.blocks() if settings.repeats == AUTO else blocks
        try:
            for block in blocks:
                done, left_out = _launch(block, len(results), rounds, launches, folders, console)
                results += done
                if left_out or launches.has_enough:
                    break
            else:
                if settings.confirm:
                    whole = [[f"{mount}.pruner._target_=null"]]  # nothing stops what confirms
                    results += _launch(race.fresh(), len(results), whole, launches, folders, console)[0]
        finally:
            summarize(console, folder)
    errors = [job._return_value for job in results if job.status != JobStatus.COMPLETED]
    if errors:
        left = sum(isinstance(error, NotDone) for error in errors)
        rest = f" and {left} were not started" if left else ""
        failed = f"{len(errors) - left} of {len(results)} runs failed{rest}{left_out}"
        raise RunFailed(f"{failed}; the run.json of each, in {folder}, says why")
    return [results]


def _launch(
    runs: Sequence[Sequence[str]],
    first: int,
    rounds: Sequence[Sequence[str]],
    launches: Launches,
    folders: Folders,
    console: Console,
) -> tuple[list[JobReturn], str]:
    """The results of runs numbered from `first`, round by round, and which rounds failures kept from being started."""
    if not launches.is_ours:
        names = folders.names(runs, first)
        for name in names:
            RunDir(folders.folder / name).refuse_links()  # Hydra opens a run's log before the run can look
        runs = [[*run, *folders.pinned(name)] for run, name in zip(runs, names, strict=True)]
    results: list[JobReturn] = []
    for number, pause in enumerate(rounds, start=1):
        if launches.has_enough:
            return results, f"; round {number} of {len(rounds)} was not started"
        if len(rounds) > 1:
            until = f"to step {pause[0].partition('=')[2]}" if pause else "to completion"
            console.print(f"round {number} of {len(rounds)}: {until}", highlight=False)
        results = launches.launch([[*run, *pause] for run in runs], first)  # resumes what the last round kept
    return results, ""


def _rounds(
    loader: ConfigLoader, config: DictConfig, mount: str, runs: Sequence[Sequence[str]], console: Console
) -> list[list[str]]:
    """The overrides that each round of the sweep adds: the step at which its runs wait for each other.

    Pruners that compare runs as they report have one round. Halving has one more than it has rungs, which makes its
    runs wait for each other under any launcher. The last round pauses where `pause_at` says.
    """
    settings: Any = settings_of(config)
    try:
        rounds = rounds_of(settings, settings.max_steps)
    except OmegaConfBaseException:  # it refers to what each run sets for itself
        rounds = []
    if len(rounds) != 1 and OmegaConf.is_interpolation(settings, "max_steps"):
        jobs = [loader.load_sweep_config(config, list(run)) for run in _samples(runs, settings.seed_key)]
        found: set[float | None] = {OmegaConf.select(job, f"{mount}.max_steps") for job in jobs}
        known = sorted(steps for steps in found if steps is not None)
        if len(known) > 1:
            spread = f"{mount}.max_steps is {known[0]:.12g} to {known[-1]:.12g} in these runs"
            console.print(f"{spread}; the largest sets the rounds", highlight=False)
        rounds = rounds_of(settings, known[-1] if known else None)
    pauses = [settings.pause_at if step is None else step for step in rounds]
    return [[] if step is None else [f"{mount}.pause_at={step:.12g}"] for step in pauses]


def _samples(runs: Sequence[Sequence[str]], seed_key: str) -> list[Sequence[str]]:
    """Runs in which every swept value but the seeds occurs: far fewer than all, and enough to compare what they set."""
    seen: set[str] = set()
    samples: list[Sequence[str]] = []
    for run in runs:
        new = {override for override in run if override.lstrip("+").partition("=")[0] != seed_key} - seen
        if new or not samples:
            samples.append(run)
            seen |= new
    return samples
