"""A sweep as data frames. Never imports torch."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sweeps.errors import ConfigError, RecordError
from sweeps.record.records import RunDir
from sweeps.results import load as load_rows
from sweeps.results import rank
from sweeps.results.ranking import is_best
from sweeps.results.runs import RunRow

if TYPE_CHECKING:
    import pandas as pd

_FIELDS = (
    "rank", "name", "sweep", "status", "value", "model", "lr", "resize", "batch", "seed", "epochs_done", "epochs_asked",
    "best_acc", "last_acc", "loss", "test_acc", "parameters", "seconds", "examples_per_second", "problem_kind",
    "problem",
)  # fmt: skip


class Frames(NamedTuple):
    """`runs` has a row for each run, in ranked order; `epochs` one for each epoch of each run.

    Both have the columns `run` (the folder, relative to what was loaded), `model`, `lr` and `seed`, to join by.
    """

    runs: "pd.DataFrame"
    epochs: "pd.DataFrame"


def load(*folders: str | Path) -> Frames:
    """All runs at and below `folders`, failures included.

    `runs` has, besides the figures of a summary, every setting that is not the same in all runs, under its full key
    (`optim.momentum`); `objective` and `split` name what `value` is and on which images it was measured.

    Raises:
        RecordError: a folder does not exist, or holds no runs.
        ConfigError: pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise ConfigError("sweeps.load needs pandas: pip install 'hydra-sweeps[frames]'") from error
    rows = rank(load_rows(folders))
    differing = _differing(rows)
    roots = [Path(folder) for folder in folders]
    runs = [_run(row, roots, differing) for row in rows]
    epochs = [one for row in rows for one in _epochs(row, roots)]
    return Frames(pd.DataFrame(runs), pd.DataFrame(epochs, columns=None if epochs else ["run", "epoch"]))


def _run(row: RunRow, roots: list[Path], differing: list[str]) -> dict[str, Any]:
    criterion = row.criterion
    return {
        "run": _relative(row.path, roots),
        "is_best": is_best(row),
        "objective": criterion.metric if criterion else None,
        "split": criterion.split if criterion else None,
        **{field: getattr(row, field) for field in _FIELDS},
        **{key: row.settings.get(key) for key in differing},
        "path": str(row.path),
    }


def _epochs(row: RunRow, roots: list[Path]) -> Iterator[dict[str, Any]]:
    """The lines of metrics.jsonl; none where they are damaged, which the run's `problem` tells of."""
    try:
        lines = RunDir(row.path).read_metrics()
    except RecordError:
        lines = []
    # A line's own `lr` is that of its epoch, which a schedule moves: the run's stands under its key.
    known = {"run": _relative(row.path, roots), "model": row.model, "optim.lr": row.lr, "seed": row.seed}
    for line in lines:
        yield {**known, **line}


def _differing(rows: list[RunRow]) -> list[str]:
    values: dict[str, set[str]] = {}
    for row in rows:
        for key, value in row.settings.items():
            values.setdefault(key, set()).add(repr(value))
    readable = sum(bool(row.criterion) for row in rows)
    fixed = {"model", "seed"}
    return [
        key
        for key, seen in values.items()
        if key not in fixed and (len(seen) > 1 or sum(key in row.settings for row in rows) < readable)
    ]


def _relative(path: Path, roots: list[Path]) -> str:
    for root in roots:
        if path.is_relative_to(root):
            return path.relative_to(root).as_posix()
    return path.as_posix()
