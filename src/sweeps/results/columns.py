"""The columns of a ranking: the fixed ones, and one for every other setting in which the runs differ."""

import difflib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sweeps.errors import ConfigError
from sweeps.record import identity
from sweeps.results import format as text
from sweeps.results.ranking import criteria
from sweeps.results.runs import UNREADABLE, RunRow

# Settings that have a fixed column, under the names that a user may have typed them by.
_FIXED = frozenset({"model", "resize", "optim.lr", "resize.size", "trainer.batch_size", "trainer.epochs", "seed"})
_ABSENT = object()
# How early a setting gives way: the figures asked for by name go before 3, all others before 6 (see `_measured`).
_SEED, _SETTING, _NO_EFFECT = 2, 3, 13


@dataclass(frozen=True)
class Column:
    """One column: `get` is the value for exports and sorting, `show` its text.

    When the terminal is narrow, `is_setting` columns move to the caption where all runs agree; of the others, those
    with the highest `gives_way` go first, and 0 stays.
    """

    key: str
    header: str
    get: Callable[[RunRow], Any]
    show: Callable[[RunRow], str]
    right: bool = True
    is_setting: bool = False
    gives_way: int = 0
    largest_first: bool = False


def _column(key: str, header: str, form: Callable[[Any], str], **more: Any) -> Column:
    def get(row: RunRow) -> Any:
        return getattr(row, key)

    return Column(key, header, get, lambda row: form(get(row)), **more)


def setting_column(key: str, header: str = "") -> Column:
    """The column of one entry of `RunRow.settings`; a run that has no such setting shows a dash."""

    def show(row: RunRow) -> str:
        value = row.settings.get(key, _ABSENT)
        return text.BLANK if value is _ABSENT else "null" if value is None else text.setting(value)

    way = _SETTING if has_effect(key) else _NO_EFFECT
    return Column(key, header or key, lambda row: row.settings.get(key), show, False, is_setting=True, gives_way=way)


_SETTINGS = (
    _column("model", "model", text.setting, right=False, is_setting=True),
    _column("lr", "lr", text.setting, is_setting=True),
    _column("resize", "px", text.setting, is_setting=True, gives_way=_SETTING),
    _column("batch", "batch", text.setting, is_setting=True, gives_way=_SETTING),
    _column("seed", "seed", text.setting, is_setting=True, gives_way=_SEED),
)


def _status(row: RunRow) -> str:
    return f"{row.status}: {row.problem_kind}" if row.status == "failed" else row.status


def _epochs(row: RunRow) -> str:
    if row.status == UNREADABLE:
        return text.BLANK
    return f"{row.epochs_done}/{'?' if row.epochs_asked is None else row.epochs_asked}"


def _chosen_by(row: RunRow) -> str:
    return " ".join((row.criterion.metric, row.criterion.epoch)) if row.criterion else text.BLANK


def columns_of(rows: Sequence[RunRow], all_metrics: bool = False) -> list[Column]:
    """The columns of the ranking of `rows`, without the rank; `all_metrics` adds every metric of the last epoch."""
    return [
        *_SETTINGS,
        *varying(rows),
        *_measured(rows),
        *(_metric_columns(rows) if all_metrics else ()),
        Column("status", "status", lambda row: row.status, _status, right=False),
    ]


def telling_columns(rows: Sequence[RunRow]) -> list[Column]:
    """The columns that tell the settings of runs apart, the seed's and, where they differ, the epochs' included."""
    columns = [column for column in columns_of(rows) if column.is_setting or column.key == "sweep"]
    if len({row.epochs_asked for row in rows if row.epochs_asked is not None}) > 1:
        columns.append(setting_column("trainer.epochs", "epochs"))
    return columns


def has_effect(key: str) -> bool:
    """Whether a setting can change a figure; the objective only chooses one, and tells runs apart anyway."""
    return identity.has_effect(key) and key.partition(".")[0] != "objective"


def _measured(rows: Sequence[RunRow]) -> Iterator[Column]:
    found = criteria(rows)
    one_length = len({row.epochs_asked for row in rows if row.epochs_asked is not None}) < 2
    by_last = all(criterion.epoch == "last" for criterion in found)
    by_best = all(criterion.epoch == "best" for criterion in found)
    by_accuracy = all(criterion.metric.endswith("_acc") for criterion in found)
    by_loss = all(criterion.metric.endswith("_loss") for criterion in found)
    form = text.fraction
    if len(found) > 1:
        yield Column("chosen_by", "ranked by", _chosen_by, _chosen_by, right=False, gives_way=1)
    if len(found) > 1 or not (by_accuracy or by_loss):
        yield _column("value", "value", form, largest_first=all(one.direction == "max" for one in found))
    yield Column("epochs", "epochs", lambda row: row.epochs_done, _epochs, gives_way=6 if one_length else 0)
    yield _column("best_acc", "best\nacc", form, largest_first=True, gives_way=0 if by_best and by_accuracy else 8)
    yield _column("last_acc", "last\nacc", form, largest_first=True, gives_way=0 if by_last and by_accuracy else 7)
    yield _column("loss", "loss", form, gives_way=0 if by_loss else 9)
    # With held-out images the test figure is for the chosen run alone: to see all of them is to choose by them.
    if any(row.test_acc is not None for row in rows) and any(
        one.prefix != "test" and one.split != "val" for one in found
    ):
        yield _column("test_acc", "test\nacc", form, largest_first=True, gives_way=1)
    yield _column("parameters", "params", text.quantity, gives_way=11)
    yield _column("seconds", "s", text.duration, gives_way=10)
    yield _column("examples_per_second", "ex/s", text.rate, largest_first=True, gives_way=12)


def _metric_columns(rows: Sequence[RunRow]) -> Iterator[Column]:
    def column(key: str) -> Column:
        def get(row: RunRow) -> Any:
            return row.last.get(key)

        return Column(
            f"last.{key}",
            f"last\n{key}",
            get,
            lambda row: text.metric(get(row)),
            gives_way=4 if key.endswith(("_acc", "_loss")) else 5,
            largest_first=key.endswith("_acc"),
        )

    keys = dict.fromkeys(key for row in rows for key in row.last)
    return (column(key) for key in keys if key != "epoch")


def varying(rows: Sequence[RunRow]) -> list[Column]:
    """Columns for what the fixed ones do not tell: no two different cells may look the same.

    A setting that somebody typed and that differs between the runs always has its column. One that merely
    follows (Adam brings betas along) has it only where two runs would look alike without it.
    """
    known = [row for row in rows if row.status != UNREADABLE]
    fixed = [*_SETTINGS, _column("epochs_asked", "", text.setting)]
    looks = [tuple(column.show(row) for column in fixed) for row in known]
    typed = set().union(*(row.overridden for row in known)) - _FIXED
    added: list[Column] = []
    for column in _candidates(known, typed):
        finer = [(*look, column.show(row)) for look, row in zip(looks, known, strict=True)]
        if column.key in typed or len(set(finer)) > len(set(looks)):
            looks = finer
            added.append(column)
    return _with_short_headers(added)


def _candidates(rows: Sequence[RunRow], typed: set[str]) -> list[Column]:
    """Settings that differ and have an effect, typed ones first, then those with few values; then what has none."""
    keys = dict.fromkeys(key for row in rows for key in row.settings)
    # How far a run was taken is no setting of it: the rounds of a sweep leave different ones behind.
    columns = [setting_column(key) for key in keys if key.partition(".")[0] != "pruner"]
    distinct = {column.key: len({column.show(row) for row in rows}) for column in columns}
    differing = [column for column in columns if distinct[column.key] > 1]
    differing.sort(key=lambda one: (not has_effect(one.key), one.key not in typed, distinct[one.key]))
    whence = [_column(key, key, text.clean, right=False, gives_way=_NO_EFFECT) for key in ("sweep", "name", "path")]
    whence = [column for column in whence if column.key not in distinct]
    return [*differing, *whence]


def _with_short_headers(columns: Sequence[Column]) -> list[Column]:
    """`weight_decay` instead of `optim.weight_decay`, where that is enough."""
    ends = [column.key.rpartition(".")[2] for column in columns]
    used = {column.key for column in _SETTINGS}
    return [
        setting_column(column.key, end) if column.is_setting and ends.count(end) == 1 and end not in used else column
        for column, end in zip(columns, ends, strict=True)
    ]


def find_column(key: str, option: str, rows: Sequence[RunRow], columns: Sequence[Column]) -> Column:
    """The column that `key` names: one of the table's, or any setting of the runs.

    Raises:
        ConfigError: there is none; the message names those that there are.
    """
    table = {column.key: column for column in columns}
    extra = {name: _column(name, name, text.clean, right=False) for name in ("name", "sweep")}
    settings = dict.fromkeys(name for row in rows for name in row.settings)
    if key in table:
        return table[key]
    if key in extra:
        return extra[key]
    if key in settings:
        return setting_column(key)
    near = difflib.get_close_matches(key, [*table, *extra, *settings], n=1)
    meant = f" (did you mean {near[0]}?)" if near else ""
    raise ConfigError(
        f"{option}={text.clean(key)} is no column of these runs{meant}; known: {', '.join([*table, *extra])}, "
        "and every setting by its full key, such as optim.momentum"
    )


def sort_rows(rows: Sequence[RunRow], column: Column) -> list[RunRow]:
    """`rows` by `column`: the best figure or the smallest setting first, blanks last, ties as they stood."""

    def key(row: RunRow) -> tuple[bool, bool, float, str]:
        value = column.get(row)
        figure = text.number(value)
        if figure is not None:
            return False, False, -figure if column.largest_first else figure, ""
        return value is None or value == "", True, 0.0, column.show(row)

    return sorted(rows, key=key)
