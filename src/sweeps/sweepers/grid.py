"""From the swept values of a command line to runs."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig, OmegaConf

from sweeps.errors import RunFailed
from sweeps.launchers.console import SweepConsole
from sweeps.launchers.folders import Places, claim_folder
from sweeps.launchers.local.slots import check_count
from sweeps.launchers.runs import NotDone
from sweeps.launchers.supported import check_honoured
from sweeps.pruners import budgets, rule_of
from sweeps.record.files import atomic_write
from sweeps.record.lock import owned
from sweeps.record.records import find_runs
from sweeps.results import print_summary
from sweeps.sweepers.expansion import expand
from sweeps.sweepers.launches import Launches
from sweeps.vision.config import SweepsConfig, shown_yaml

if TYPE_CHECKING:
    from hydra_plugins.sweeps.plugins import GridSweeper


def sweep(sweeper: "GridSweeper", arguments: list[str]) -> list[list[JobReturn]]:
    """Launch every combination of the swept values, `max_batch_size` at a time.

    Raises:
        ConfigError: an option is wrong, or some cell cannot work; no run was started.
        RunFailed: some run failed.
    """
    assert sweeper.config is not None
    assert sweeper.launcher is not None
    assert sweeper.hydra_context is not None
    ours = OmegaConf.get_type(sweeper.config) is SweepsConfig
    if ours:
        check_honoured(sweeper.config, sweeper.config.hydra)
    parser = OverridesParser.create(config_loader=sweeper.hydra_context.config_loader)
    swept = [f"{key}={value}" for key, value in (sweeper.params or {}).items()]
    overrides = parser.parse_overrides(swept + arguments)  # of equal keys the last one counts
    cells = expand(overrides, sweeper.config)
    check_count("hydra.sweeper.max_batch_size", sweeper.max_batch_size, 1)
    launches = Launches(sweeper.launcher, sweeper.config, sweeper.max_batch_size)
    plan = bool(OmegaConf.select(sweeper.config, "plan", default=False))
    folder, made = claim_folder(sweeper.config)
    results: list[JobReturn] = []
    not_begun = ""
    console = SweepConsole()
    try:
        with owned(folder):
            if ours:  # of the whole sweep, whatever the launcher
                Places(sweeper.hydra_context.config_loader, sweeper.config, folder).names(cells)
            if not plan:
                atomic_write(folder / "multirun.yaml", shown_yaml(sweeper.config).encode(), private=True)
            try:
                rounds = [None] if plan else rounds_of(sweeper.config)
                for number, budget in enumerate(rounds, start=1):
                    if launches.has_enough:
                        not_begun = f"; round {number} of {len(rounds)} was not begun"
                        break
                    if len(rounds) > 1:
                        limit = sweeper.config.pruner.budget if budget is None else budget
                        how_far = "to their end" if limit is None else f"to {limit:g} epochs"
                        console.print(f"round {number} of {len(rounds)}: {how_far}", highlight=False)
                    limit_by = [] if budget is None else [f"pruner.budget={budget:g}"]
                    results = launches.launch([[*job, *limit_by] for job in cells])  # what the last round has left
            finally:
                if not plan and any(find_runs(folder)):
                    print_summary(console, folder)
    finally:
        leave_nothing_empty(made)
    errors = [job._return_value for job in results if job.status != JobStatus.COMPLETED]
    left = sum(isinstance(error, NotDone) for error in errors)
    if errors:
        rest = f" and {left} were not done" if left else ""
        failed = f"{len(errors) - left} of {len(results)} runs failed{rest}{not_begun}"
        raise RunFailed(f"{failed}; the run.json of each, in {folder}, tells why")
    return [results]


def rounds_of(config: DictConfig) -> list[float | None]:
    """How many epochs the runs may do in each round of a sweep; None is no limit but the runs' own.

    A pruner that compares runs as they come has one round. Halving has one for each rung, which is how its runs wait
    for each other under any launcher.
    """
    if OmegaConf.get_type(config) is not SweepsConfig:
        return [None]
    limit = config.pruner.budget
    below = [at for at in budgets(rule_of(config)) if at is not None and (limit is None or at < limit)]
    return [*below, None]  # the last one has the budget that was typed


def leave_nothing_empty(made: Sequence[Path]) -> None:
    """A sweep that was only planned, or refused, leaves none of the folders that were `made` for it."""
    with contextlib.suppress(OSError):  # something else lies there
        if made and [entry.name for entry in made[0].iterdir()] == ["multirun.yaml"]:
            (made[0] / "multirun.yaml").unlink()
        for place in made:
            place.rmdir()
