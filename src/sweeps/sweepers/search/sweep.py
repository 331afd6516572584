"""A search as Hydra starts it: trials as workers become free on this machine, in batches under other launchers."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console

from sweeps.config import mount_of, settings_of
from sweeps.errors import ConfigError, RecordError, RunFailed, SweepsError
from sweeps.launchers.console import SweepConsole
from sweeps.launchers.fingerprint import Fingerprint
from sweeps.launchers.folders import Folders, compose, hydra_config
from sweeps.launchers.job import without_hydra
from sweeps.launchers.runs import NotDone, SweepRun
from sweeps.launchers.supported import check_supported
from sweeps.pruners import rounds_of
from sweeps.record.records import RunDir
from sweeps.record.resolved import resolve
from sweeps.results.format import plural
from sweeps.sweepers.expansion import MAKE_RUNS
from sweeps.sweepers.launches import Launches, owned_folder, summarize, write_config
from sweeps.sweepers.search.space import Space, space_of
from sweeps.sweepers.search.trials import OBJECTIVE, Search

if TYPE_CHECKING:
    from hydra_plugins.sweeps.plugins import SearchSweeper

_LONG = 2.0**40  # steps: of a run that is long enough for all rounds of a pruner that has some


def sweep(sweeper: "SearchSweeper", arguments: list[str]) -> list[list[JobReturn]]:
    """Do trials until there are `n_trials` of them in all; those that failed before are tried again first.

    Raises:
        ConfigError: the search cannot work, or the folder holds another one.
        RunFailed: some trial has no result; the same command tries it again.
    """
    config, context, options = sweeper.config, sweeper.hydra_context, sweeper.options
    assert config is not None
    assert context is not None
    settings: Any = settings_of(config)
    mount = mount_of(config) or ""
    check_supported(config, config.hydra)
    _check(settings, mount, options["batch_size"])
    loader = context.config_loader
    swept = [f"{key}={value}" for key, value in (options.get("params") or {}).items()]
    overrides = OverridesParser.create(config_loader=loader).parse_overrides(swept + arguments)
    space = space_of(overrides, options.get("when"), mount)
    objectives = list(options["objectives"])
    console = SweepConsole()
    with owned_folder(config) as folder:
        search = Search(
            folder,
            space,
            objectives=objectives,
            direction=str(settings.objective.direction),
            **{key: options[key] for key in ("sampler", "seed", "n_trials")},
        )
        folders = Folders(loader, config, folder)
        folders.names(space.samples())
        composition = Fingerprint(config, mount).of([*space.fixed, *space.of_sweep])
        search.check_settings(composition, lambda: _settings_of(loader, config, folder, space))
        feed = Feed(search, folders)
        if search.has_more:
            write_config(config, folder)
        try:
            _launch(sweeper.launcher, config, feed, space, options["batch_size"])
        finally:
            summarize(console, folder)
        best = search.best()
    names = [settings.objective.metric or name if name == OBJECTIVE else name for name in objectives]
    _print_best(console, search.finished, names, best)
    if search.finished < search.total:
        left = search.total - search.finished - feed.failed
        counts = [f"{feed.failed} failed"] * bool(feed.failed) + [f"{left} were not started"] * bool(left)
        why = f"; the run.json of each, in {folder}, says why" if feed.failed else ""
        raise RunFailed(f"{search.finished} of {search.total} trials are complete, {', '.join(counts)}{why}")
    if not best:
        raise RunFailed(
            f"none of {plural(search.finished, 'trial')} has a value; the run.json of each, in {folder}, says why"
        )
    return [[]]


def _settings_of(loader: ConfigLoader, config: DictConfig, folder: Path, space: Space) -> dict[str, Any]:
    """The settings of a sample of the trials, in which every choice occurs; those of all but the first as they differ.

    What is searched has the same values whenever the space is the same. A sample that cannot work is reported later.
    """
    found: dict[str, Any] = {}
    for number, sample in enumerate(space.samples()):
        with contextlib.suppress(SweepsError, HydraException, OmegaConfBaseException):
            job = compose(loader, config, [*sample, *space.of_sweep], number, {"hydra.sweep.dir": str(folder)})
            with hydra_config(job, folder / f".sample-{number}"):
                resolved = resolve(without_hydra(job), (folder / f".sample-{number}", folder.absolute()))
            settings = resolved.shown_settings()
            for key in ("metric", "report"):
                settings[f"{resolved.mount}.objective.{key}"] = resolved.settings["objective"][key]
            under = ",".join(sample[len(space.fixed) :])
            found |= settings if not found else _others(settings, found, f" where {under}")
    return found


def _others(settings: dict[str, Any], known: dict[str, Any], suffix: str) -> dict[str, Any]:
    return {key + suffix: value for key, value in settings.items() if known.get(key) != value}


def _check(settings: Any, mount: str, batch_size: int) -> None:
    """Raises a ConfigError for settings that a search does not honour."""
    for key in MAKE_RUNS:
        if key != "max_repeats" and getattr(settings, key):
            raise ConfigError(
                f"{mount}.{key} is invalid with hydra/sweeper=search: it belongs to a grid; search first, then repeat "
                f"the best settings in a grid with {mount}.repeats=5"
            )
    resumes = settings.pause_at is not None or (settings.pruner or {}).get("resume_pruned")
    if resumes or len(rounds_of(settings, _LONG)) > 1:
        raise ConfigError(
            f"{mount}/pruner=halving, {mount}.pause_at and {mount}.pruner.resume_pruned are invalid with "
            "hydra/sweeper=search: a trial has one result, when its run ends, and is not resumed afterwards; prune it "
            "with asha, hyperband, median or patience"
        )
    if batch_size < 1:
        raise ConfigError(f"hydra.sweeper.batch_size={batch_size} is invalid: at least one trial")
    if settings.plan:
        raise ConfigError(f"{mount}.plan=true is invalid with hydra/sweeper=search: its runs are not known beforehand")


def _launch(launcher: Any, config: DictConfig, feed: "Feed", space: Space, batch_size: int) -> None:
    samples = [[*one, *space.of_sweep] for one in space.samples()]
    if hasattr(launcher, "launch_feed"):  # the local launcher has it
        launcher.launch_feed(feed, samples)
    elif feed.has_more:
        if hasattr(launcher, "check"):  # that of Slurm
            launcher.check(samples)
        _in_batches(Launches(launcher, config, refuse=False), feed, batch_size)


def _in_batches(launches: Launches, feed: "Feed", size: int) -> None:
    """Under a launcher that takes jobs and gives results: so many trials at a time."""
    number = feed.finished
    while feed.has_more and not launches.has_enough:
        runs: list[SweepRun] = []
        while len(runs) < size and (run := feed.next()) is not None:
            runs.append(run)
        results = launches.launch([run.overrides for run in runs], first=number)
        number += len(runs)
        for run, result in zip(runs, results, strict=True):
            run.result = result if result.status != JobStatus.UNKNOWN else None
        feed.settle()


def _print_best(
    console: Console, count: int, names: Sequence[str], best: Sequence[tuple[list[str], list[float]]]
) -> None:
    trials = plural(count, "trial")
    lines = [] if len(names) == 1 or not best else [f"of {trials} none is better in all of {', '.join(names)}:"]
    for drawn, values in best:
        figures = ", ".join(f"{name} {value:.4g}" for name, value in zip(names, values, strict=True))
        lines.append(f"{f'best of {trials}:' if len(names) == 1 else ' '} {', '.join(drawn)}: {figures}")
    for line in lines:
        console.print(line, highlight=False, markup=False)


class Feed:
    """Trials as the runs of a sweep. One whose run fails stays open for the next command."""

    def __init__(self, search: Search, folders: Folders) -> None:
        self._search, self._folders = search, folders
        self._running: dict[str, list[SweepRun]] = {}  # by their name: equal ones, of which the first is done
        self._failed: dict[str, int] = {}  # how many, by the name of their run
        self.total, self.finished = search.total, search.finished

    @property
    def has_more(self) -> bool:
        """Whether there is a trial to ask for."""
        return self._search.has_more

    @property
    def failed(self) -> int:
        """How many trials have failed."""
        return sum(self._failed.values())

    def next(self) -> SweepRun | None:
        """A run to do; None where there is none now.

        A trial that equals one under way waits for its result; one that equals a run that failed has failed as well.
        """
        while (asked := self._search.ask()) is not None:
            overrides = [*asked.overrides, *self._search.space.of_sweep]
            name = self._folders.name(overrides, asked.number)
            overrides += self._folders.pinned(name)  # a batch of a launcher has numbers of its own
            folder = RunDir(self._folders.folder / name)
            run = SweepRun(asked.number, overrides, name, ",".join(asked.drawn), folder)
            if name in self._failed:
                self._failed[name] += 1
                continue
            same = self._running.setdefault(name, [])
            same.append(run)
            if len(same) == 1:
                return run
        return None

    def settle(self) -> None:
        """Give the search the result of every run that has one."""
        for name, same in list(self._running.items()):
            result = same[0].result
            if result is None:
                continue
            del self._running[name]
            record = same[0].read()
            if result.status is JobStatus.COMPLETED and record is not None and record.status.is_finished:
                rows: list[dict[str, Any]] = []
                with contextlib.suppress(RecordError):  # damaged; the record has the result
                    rows = RunDir(self._folders.folder / name).read_metrics()
                for run in same:
                    self._search.tell(run.number, record, rows)
            elif not isinstance(result._return_value, NotDone):
                self._failed[name] = len(same)
