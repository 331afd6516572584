"""A sweep as data frames, for notebooks: `sweeps.load("multirun/lr_study").runs`. Never imports torch."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sweeps.errors import RecordError
from sweeps.record.records import RunDir
from sweeps.results.columns import columns_of
from sweeps.results.export import run_fields
from sweeps.results.ranking import rank
from sweeps.results.runs import RunRow
from sweeps.results.runs import load as load_rows

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)


class Frames(NamedTuple):
    """`runs` has one row per run, the best first; `reports` one per report of each, with its `run`, step and metrics.

    `runs.run` and `reports.run` are the runs' folders below those that were loaded. Settings that differ stand under
    their keys (`optim.lr`), facts under `facts.parameters`, metrics of the last report under `last.val_loss`.
    """

    runs: "pd.DataFrame"
    reports: "pd.DataFrame"


def load(*folders: str | Path) -> Frames:
    """The runs at and below `folders`.

    Raises:
        RecordError: a folder does not exist, or holds no runs.
    """
    import pandas as pd

    rows = rank(load_rows(folders))
    columns = columns_of(rows, all_metrics=True)
    roots = [Path(folder) for folder in folders]
    names = {row.path: _relative(row.path, roots) for row in rows}
    runs = [{**run_fields(row, columns), "run": names[row.path]} for row in rows]
    reports = [{"run": names[row.path], "seed": row.seed, **one} for row in rows for one in _reports(row)]
    return Frames(pd.DataFrame(runs), pd.DataFrame(reports, columns=None if reports else ["run", "seed", "step"]))


def _reports(row: RunRow) -> Iterator[dict[str, Any]]:
    """The lines of metrics.jsonl; none where they are damaged, which the run's `problem` says."""
    try:
        reports = RunDir(row.path).read_metrics()
    except RecordError:
        return
    if reports.note:
        log.warning("%s: %s", row.name, reports.note)
    yield from reports


def _relative(path: Path, roots: list[Path]) -> str:
    for root in roots:
        if path.is_relative_to(root):
            return path.relative_to(root).as_posix()
    return path.as_posix()
