"""A search as Hydra starts it: trials as workers become free on this machine, in batches under other launchers."""

from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from sweeps.errors import ConfigError, RecordError, RunFailed
from sweeps.launchers.console import SweepConsole
from sweeps.launchers.fingerprint import HOW_IT_IS_DONE
from sweeps.launchers.folders import Places, claim_folder
from sweeps.launchers.runs import Cell, NotDone
from sweeps.launchers.supported import check_honoured
from sweeps.record.files import atomic_write
from sweeps.record.lock import owned
from sweeps.record.records import RunDir, RunRecord, find_runs
from sweeps.results import print_summary
from sweeps.sweepers.grid import leave_nothing_empty
from sweeps.sweepers.launches import Launches
from sweeps.sweepers.search.space import Space, space_of
from sweeps.sweepers.search.study import Asked, Search
from sweeps.vision.config import SweepsConfig, objective_of, shown_yaml

if TYPE_CHECKING:
    from hydra_plugins.sweeps.plugins import SearchSweeper


def sweep(sweeper: "SearchSweeper", arguments: list[str]) -> list[list[JobReturn]]:
    """Do trials until there are `n_trials` of them in all; those that failed before are tried again first.

    Raises:
        ConfigError: the search cannot work, or the folder holds another one.
        RunFailed: some trial has no result; the same command tries it again.
    """
    config = sweeper.config
    launcher: Any = sweeper.launcher
    assert config is not None
    assert sweeper.hydra_context is not None
    if OmegaConf.get_type(config) is not SweepsConfig:
        raise ConfigError("hydra/sweeper=search knows the runs of this application alone")
    check_honoured(config, config.hydra)
    for key in ("repeats", "zip", "exclude"):
        if OmegaConf.select(config, key):
            raise ConfigError(
                f"{key} is refused with hydra/sweeper=search: it belongs to a grid; search first, then repeat the best "
                "cells in a grid with repeats=5"
            )
    if config.pruner.name == "halving" or config.pruner.budget is not None or config.pruner.extend:
        raise ConfigError(
            "pruner=halving, pruner.budget and pruner.extend are refused with hydra/sweeper=search: a trial is told "
            "once, when it ends, and never taken up again; prune it with asha, hyperband, median or patience"
        )
    if sweeper.options["batch_size"] < 1:
        raise ConfigError(f"hydra.sweeper.batch_size={sweeper.options['batch_size']} is refused: at least one trial")
    if config.plan:
        raise ConfigError("plan=true is refused with hydra/sweeper=search: its cells are not known beforehand")
    parser = OverridesParser.create(config_loader=sweeper.hydra_context.config_loader)
    swept = [f"{key}={value}" for key, value in (sweeper.options.get("params") or {}).items()]
    space = space_of(parser.parse_overrides(swept + arguments), sweeper.options.get("when"))
    for key in space.axes:
        if HOW_IT_IS_DONE.match(f"{key}="):
            raise ConfigError(f"{key} is refused as an axis of a search: it is of the whole search, give it one value")
    kept = Space(tuple(one for one in space.fixed if not HOW_IT_IS_DONE.match(one)), space.axes, space.when)
    how = [one for one in space.fixed if HOW_IT_IS_DONE.match(one)]
    options = {key: sweeper.options[key] for key in ("sampler", "seed", "n_trials")}
    (folder, made), console = claim_folder(config), SweepConsole()
    try:
        with owned(folder):
            objectives = list(sweeper.options["objectives"])
            direction = objective_of(config)[1]
            search = Search.open(folder, kept, objectives=objectives, direction=direction, **options)
            places = Places(sweeper.hydra_context.config_loader, config, folder)
            places.names(list(kept.samples()))
            feed = Feed(search, places, how)
            if search.has_more:
                atomic_write(folder / "multirun.yaml", shown_yaml(config).encode(), private=True)
            try:
                samples = [[*one, *how] for one in kept.samples()]
                if hasattr(launcher, "launch_feed"):  # the local launcher has it
                    launcher.launch_feed(feed, samples)
                elif feed.has_more:
                    if hasattr(launcher, "check"):  # that of Slurm
                        launcher.check(samples)
                    _in_batches(Launches(launcher, config, refuse=False), feed, sweeper.options["batch_size"])
            finally:
                if any(find_runs(folder)):
                    print_summary(console, folder)
            best = search.best()
    finally:
        leave_nothing_empty(made)
    names = [objective_of(config)[0] if name == "objective" else name for name in objectives]
    if len(names) > 1 and best:
        console.print(
            f"of {search.finished} trials no other beats these in all of {', '.join(names)} (less is better in all but "
            "the first):",
            highlight=False,
            markup=False,
        )
    for drawn, values in best:
        figures = ", ".join(f"{name} {value:.4g}" for name, value in zip(names, values, strict=True))
        what = f"best of {search.finished} trials:" if len(names) == 1 else " "
        console.print(f"{what} {', '.join(drawn)}: {figures}", highlight=False, markup=False)
    if search.finished < search.total:
        left = search.total - search.finished - feed.failed
        counts = [f"{feed.failed} failed"] * bool(feed.failed) + [f"{left} were not done"] * bool(left)
        why = f"; the run.json of each, in {folder}, tells why" if feed.failed else ""
        raise RunFailed(f"{search.finished} of {search.total} trials are complete, {', '.join(counts)}{why}")
    if not best:
        raise RunFailed(f"none of {search.finished} trials has a value; the run.json of each, in {folder}, tells why")
    return [[]]


class Feed:
    """Trials as the cells of a sweep. One whose run fails is not told and stays open for the next command."""

    def __init__(self, search: Search, places: Places, how: list[str]) -> None:
        self._search, self._places, self._how = search, places, how
        self._at_work: dict[str, list[tuple[int, Cell]]] = {}
        self._failed: dict[str, int] = {}  # trials by the name of their run
        self.total, self.finished = search.total, search.finished

    @property
    def has_more(self) -> bool:
        """Whether there is a trial to ask for."""
        return self._search.has_more

    @property
    def failed(self) -> int:
        """How many trials have failed."""
        return sum(self._failed.values())

    def next(self) -> Cell | None:
        """A cell to run; None where there is none now.

        A trial that equals one at work waits for its result; one that equals a run that failed has failed as well.
        """
        while (asked := self._search.ask()) is not None:
            cell = self._cell(asked)
            if cell.name in self._failed:
                self._failed[cell.name] += 1
                continue
            same = self._at_work.setdefault(cell.name, [])
            same.append((asked.number, cell))
            if len(same) == 1:
                return cell
        return None

    def settle(self) -> None:
        """Tell the study of every cell that has its result."""
        for name, same in list(self._at_work.items()):
            result = same[0][1].result
            if result is None:
                continue
            del self._at_work[name]
            record = record_of(same[0][1])
            if result.status is JobStatus.COMPLETED and record is not None and record.status.is_finished:
                for number, _ in same:
                    self._search.tell(number, record)
            elif not isinstance(result._return_value, NotDone):
                self._failed[name] = len(same)

    def _cell(self, asked: Asked) -> Cell:
        overrides = [*asked.overrides, *self._how]
        name = self._places.name(overrides, asked.number)
        overrides += self._places.pinned(name)  # a batch of a launcher has numbers of its own
        return Cell(asked.number, overrides, name, ",".join(asked.drawn), RunDir(self._places.folder / name))


def record_of(cell: Cell) -> RunRecord | None:
    """What a run says of itself; None where it ended before it could."""
    assert cell.folder is not None
    try:
        return cell.folder.read()
    except RecordError:
        return None


def _in_batches(launches: Launches, feed: Feed, size: int) -> None:
    """Under a launcher that takes jobs and gives results: so many trials at a time."""
    number = feed.finished
    while feed.has_more and not launches.has_enough:
        cells: list[Cell] = []
        while len(cells) < size and (cell := feed.next()) is not None:
            cells.append(cell)
        results = launches.launch([cell.overrides for cell in cells], first=number)
        number += len(cells)
        for cell, result in zip(cells, results, strict=True):
            cell.result = result if result.status != JobStatus.UNKNOWN else None
        feed.settle()
