"""From the swept values of a command line to runs."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from sweeps.analysis import print_summary
from sweeps.config import SweepsConfig
from sweeps.errors import RunFailed
from sweeps.files import atomic_write
from sweeps.launching.cells import NotDone
from sweeps.launching.expansion import expand
from sweeps.launching.lock import owned
from sweeps.pruning import budgets, rule_of
from sweeps.records import find_runs

if TYPE_CHECKING:
    from hydra_plugins.sweeps.plugins import GridSweeper


def sweep(sweeper: "GridSweeper", arguments: list[str]) -> list[list[JobReturn]]:
    """Launch every combination of the swept values, in batches of `max_batch_size`.

    Raises:
        RunFailed: some run failed; all others were done.
    """
    assert sweeper.config is not None
    assert sweeper.launcher is not None
    assert sweeper.hydra_context is not None
    parser = OverridesParser.create(config_loader=sweeper.hydra_context.config_loader)
    swept = [f"{key}={value}" for key, value in (sweeper.params or {}).items()]
    overrides = parser.parse_overrides(swept + arguments)  # of equal keys the last one counts
    cells = expand(overrides, sweeper.config)
    batches = list(sweeper.split_overrides_to_chunks(cells, sweeper.max_batch_size))
    folder, plan = claim_folder(sweeper.config), bool(OmegaConf.select(sweeper.config, "plan", default=False))
    results: list[list[JobReturn]] = []
    console = Console()
    try:
        with owned(folder):
            if not plan:
                atomic_write(folder / "multirun.yaml", OmegaConf.to_yaml(sweeper.config).encode())
            try:
                rounds = [None] if plan else rounds_of(sweeper.config)
                for number, budget in enumerate(rounds, start=1):
                    if len(rounds) > 1:
                        how_far = "to their end" if budget is None else f"to {budget:g} epochs"
                        console.print(f"round {number} of {len(rounds)}: {how_far}", highlight=False)
                    results = []  # a round does what is left of the one before
                    for batch in batches:
                        first = sum(len(done) for done in results)
                        limited = [job if budget is None else [*job, f"pruner.budget={budget:g}"] for job in batch]
                        results.append(list(sweeper.launcher.launch(limited, initial_job_idx=first)))
            finally:
                if not plan and any(find_runs(folder)):
                    print_summary(console, folder)
    finally:
        leave_nothing_empty(folder, OmegaConf.select(sweeper.config, "output", default=folder))
    jobs = [job for batch in results for job in batch]
    errors = [job._return_value for job in jobs if job.status != JobStatus.COMPLETED]
    left = sum(isinstance(error, NotDone) for error in errors)
    if errors:
        rest = f" and {left} were not done" if left else ""
        failed = f"{len(errors) - left} of {len(jobs)} runs failed{rest}"
        raise RunFailed(f"{failed}; the run.json of each, in {folder}, tells why")
    return results


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


def claim_folder(config: DictConfig) -> Path:
    """Make the sweep's folder. One named by the time is new: two sweeps of the same second get two folders."""
    folder = Path(config.hydra.sweep.dir)
    if not OmegaConf.is_interpolation(config, "sweep"):
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    name, number = str(config.sweep), 1
    while True:
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
            config.sweep = f"{name}-{number}"
            folder = Path(config.hydra.sweep.dir)
        else:
            return folder


def leave_nothing_empty(folder: Path, output: str | Path) -> None:
    """A sweep that was only planned, or refused, leaves no folder at or below `output`."""
    folder, last = Path(folder).absolute(), Path(output).absolute()
    if last not in (folder, *folder.parents):  # where somebody else chose the folder, its parents are theirs
        last = folder
    with contextlib.suppress(OSError):  # something else lies there
        if [entry.name for entry in folder.iterdir()] == ["multirun.yaml"]:
            (folder / "multirun.yaml").unlink()
        for place in (folder, *folder.parents):
            place.rmdir()
            if place == last:
                break
