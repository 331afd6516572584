"""The columns of a table of runs: the settings in which they differ, the objective, facts, and how each run ended."""

import difflib
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sweeps.errors import ConfigError
from sweeps.results import format as text
from sweeps.results.ranking import objectives
from sweeps.results.runs import UNREADABLE, RunRow

_ABSENT = object()
_LONG = 8  # characters: a longer number was drawn, not typed
# Which column is hidden first where the terminal is narrow: that with the highest number; 0 stays.
_OBJECTIVES, _STATUS, _STEPS, _SECONDS, _METRIC, _SWEEP, _FACT, _TEXT = 1, 2, 6, 7, 5, 8, 9, 10


@dataclass(frozen=True)
class Column:
    """One column: `get` is the value for exports and sorting, `show` its text.

    `is_setting` says that it tells settings apart, the seed's column included. On a narrow terminal the columns with
    the highest `gives_way` are hidden first, and 0 stays. One that `is_stated` becomes a note where all runs agree.
    """

    key: str
    header: str
    get: Callable[[RunRow], Any]
    show: Callable[[RunRow], str]
    right: bool = True
    is_setting: bool = False
    gives_way: int = 0
    largest_first: bool = False
    is_stated: bool = False


def _column(key: str, header: str, form: Callable[[Any], str], **more: Any) -> Column:
    def get(row: RunRow) -> Any:
        return getattr(row, key)

    return Column(key, header, get, lambda row: form(get(row)), **more)


_SEED = _column("seed", "seed", lambda seed: text.BLANK if seed is None else text.setting(seed), is_setting=True)
_WHERE = tuple(_column(key, key, text.clean, right=False) for key in ("sweep", "name"))


def setting_column(key: str, rows: Sequence[RunRow], header: str = "") -> Column:
    """The column of one entry of `RunRow.settings`; a run that has no such setting shows a dash.

    For a config group, a run whose overrides do not choose from it shows what another one of the same `_target_` (or
    `name`) has chosen, else the target's own name.
    """
    markers = {row.path: _marker(row, key) for row in rows}
    choices = {markers[row.path]: row.settings[key] for row in reversed(rows) if key in row.settings}

    def find(row: RunRow) -> Any:
        if key in row.settings:
            return row.settings[key]
        marker = markers.get(row.path, "")
        return choices.get(marker, marker.rpartition(".")[2]) if marker else _ABSENT

    shortened = _shortened({row.settings[key] for row in rows if isinstance(row.settings.get(key), float)})

    def show(row: RunRow) -> str:
        value = find(row)
        short = shortened.get(value) if isinstance(value, float) else None  # an unreadable row is not one of `rows`
        return text.BLANK if value is _ABSENT else short or text.setting(value)

    def get(row: RunRow) -> Any:
        value = find(row)
        return None if value is _ABSENT else value

    values = [row.settings[key] for row in rows if row.settings.get(key) is not None]
    is_number = bool(values) and all(text.number(value) is not None for value in values)
    return Column(key, header or key, get, show, is_number, is_setting=True)


def _shortened(values: set[float]) -> dict[float, str]:
    """Four digits of each value that a search has drawn, or as many as tell them apart; short ones in full."""
    shown = {value: text.setting(value) for value in values}
    for digits in range(4, 17):
        short = {value: full if len(full) <= _LONG else f"{value:.{digits}g}" for value, full in shown.items()}
        if len(set(short.values())) == len(values):
            return short
    return shown


def _marker(row: RunRow, key: str) -> str:
    return str(row.settings.get(f"{key}._target_") or row.settings.get(f"{key}.name") or "")


def columns_of(rows: Sequence[RunRow], all_metrics: bool = False) -> list[Column]:
    """The columns of the ranking of `rows`, without the rank; `all_metrics` adds every metric of the last report."""
    settings = setting_columns(rows)
    sweeps = {row.sweep for row in rows if row.status != UNREADABLE}
    if len(sweeps) > 1 and not any(column.key == "sweep" for column in settings):
        settings.append(replace(_WHERE[0], gives_way=_SWEEP))
    return [
        *(settings or _WHERE[1:]),
        *_objective_columns(rows),
        *(_entry_columns("last", rows, text.metric, _METRIC) if all_metrics else ()),
        *_entry_columns("facts", rows, text.fact, _FACT),
        Column("status", "status", lambda row: row.status, _status, right=False, gives_way=_STATUS),
        Column("steps", "steps", lambda row: row.steps, _steps, gives_way=_STEPS, is_stated=True),
        _column("seconds", "seconds", text.duration, gives_way=_SECONDS),
    ]


def setting_columns(rows: Sequence[RunRow]) -> list[Column]:
    """A column for every setting that an override names and that differs, and for the seed where it differs.

    Settings that merely follow (Adam brings betas along) have one only where two settings would look alike without it;
    a choice in which the runs of one setting differ has none: two names of one thing tell nothing apart.
    No two different runs look the same: at the very end their sweeps or names tell them apart.
    """
    known = [row for row in rows if row.status != UNREADABLE]
    identities = len({row.setting_id for row in known})
    typed = dict.fromkeys(key for row in known for key in row.overridden)
    columns = [column for key in typed if len(_texts(column := setting_column(key, known), known)) > 1]
    columns = [column for column in columns if len({(row.setting_id, column.show(row)) for row in known}) == identities]
    columns = _with_short_headers(_told_apart(known, columns, _following(known, typed), identities))
    if len({row.seed for row in known}) > 1:
        columns.append(_SEED)
    return _told_apart(known, columns, _WHERE, len(known))


def _told_apart(
    rows: Sequence[RunRow], columns: Sequence[Column], further: Iterable[Column], wanted: int
) -> list[Column]:
    """`columns` and as many `further` ones as it takes until the rows have so many different looks."""
    found = list(columns)
    looks = [tuple(column.show(row) for column in found) for row in rows]
    for column in further:
        if len(set(looks)) >= wanted:
            break
        finer = [(*look, column.show(row)) for look, row in zip(looks, rows, strict=True)]
        if len(set(finer)) > len(set(looks)):
            found.append(column)
            looks = finer
    return found


def swept_columns(rows: Sequence[RunRow]) -> list[Column]:
    """The columns that tell settings apart: those of `setting_columns` without the seed, the sweep and the name."""
    return [column for column in setting_columns(rows) if column.is_setting and column.key != "seed"]


def _following(rows: Sequence[RunRow], typed: Container[str]) -> Iterator[Column]:
    """Settings that differ and that no override names, those with few values first; at the end the identity."""
    keys = dict.fromkeys(key for row in rows for key in row.settings if key not in typed)
    values = {key: len({repr(row.settings.get(key, _ABSENT)) for row in rows}) for key in keys}
    for key in sorted((key for key in keys if values[key] > 1), key=lambda key: values[key]):
        yield setting_column(key, rows)
    yield _column("setting_id", "setting", text.clean, right=False, is_setting=True)


def _texts(column: Column, rows: Sequence[RunRow]) -> set[str]:
    return {column.show(row) for row in rows}


def _with_short_headers(columns: Sequence[Column]) -> list[Column]:
    """`weight_decay` instead of `optim.weight_decay`, where that is enough."""
    ends = [column.header.rpartition(".")[2] for column in columns]
    taken = {"seed", "sweep", "name", "status", "steps", "seconds"}
    return [
        replace(column, header=end) if ends.count(end) == 1 and end not in taken else column
        for column, end in zip(columns, ends, strict=True)
    ]


def in_all_runs(rows: Sequence[RunRow], columns: Sequence[Column] = ()) -> tuple[list[Column], list[str]]:
    """`columns` without those that tell nothing, and `optim.lr=0.1` for each setting and fact that all runs share."""
    known = [row for row in rows if row.status != UNREADABLE]
    typed = dict.fromkeys(key for row in known for key in row.overridden) if len(known) > 1 else {}
    stated = [(key, shown) for key in typed if len(shown := _texts(setting_column(key, known), known)) == 1]
    kept = []
    for column in columns:
        shown = _texts(column, rows) - {text.BLANK} if column.is_stated and len(rows) > 1 else set()
        if len(shown) == 1:
            stated.append((column.header, shown))
        else:
            kept.append(column)
    return kept, [f"{name}={shown.pop()}" for name, shown in stated]


def _objective_columns(rows: Sequence[RunRow]) -> Iterator[Column]:
    found = objectives(rows)
    if len(found) > 1:
        form = lambda objective: objective.title if objective else text.BLANK  # noqa: E731
        yield _column("objective", "ranked by", form, right=False, gives_way=_OBJECTIVES)
    one = found[0] if len(found) == 1 else None
    header = "value" if one is None else f"best\n{one.name}" if one.report == "best" else one.name
    largest = bool(found) and all(objective.direction == "max" for objective in found)
    yield _column("value", header, text.figure, largest_first=largest)


def _entry_columns(field: str, rows: Sequence[RunRow], form: Callable[[Any], str], gives_way: int) -> Iterator[Column]:
    """A column for every key of `RunRow.facts` or of `RunRow.last`."""

    def column(key: str) -> Column:
        def get(row: RunRow) -> Any:
            return getattr(row, field).get(key)

        def show(row: RunRow) -> str:
            value = get(row)
            return text.duration(value) if key.endswith("seconds") and text.number(value) is not None else form(value)

        is_number = all(text.number(get(row)) is not None for row in rows if get(row) is not None)
        is_fact = field == "facts"
        header = key if is_fact else f"last\n{key}"
        way = gives_way if is_number else _TEXT
        return Column(f"{field}.{key}", header, get, show, is_number, gives_way=way, is_stated=is_fact)

    keys = dict.fromkeys(key for row in rows for key in getattr(row, field))
    return (column(key) for key in keys if field == "facts" or key not in ("step", "elapsed"))


def _status(row: RunRow) -> str:
    return f"{row.status}: {row.problem_kind}" if row.status == "failed" else row.status


def _steps(row: RunRow) -> str:
    if row.steps is None and row.max_steps is None:
        return text.BLANK
    return text.steps(row.steps or 0) + (f"/{text.steps(row.max_steps)}" if row.max_steps is not None else "")


def find_column(key: str, option: str, rows: Sequence[RunRow], columns: Sequence[Column]) -> Column:
    """The column that `key` names: one of the table's by its key or header, or any setting of the runs.

    A setting may be named by its last part, where only one ends in it.

    Raises:
        ConfigError: there is none; the message names those that there are.
    """
    table = {column.key: column for column in columns} | {column.key: column for column in _WHERE}
    headers = {column.header.replace("\n", " "): column for column in reversed(columns)}
    if found := table.get(key) or headers.get(key):
        return found
    settings = dict.fromkeys(name for row in rows for name in row.settings)
    if key in settings or any(_marker(row, key) for row in rows):
        return setting_column(key, rows)
    ending = [name for name in settings if name.rpartition(".")[2] == key]
    if len(ending) == 1:
        return setting_column(ending[0], rows)
    near = [*ending[:3]] or difflib.get_close_matches(key, [*table, *headers, *settings], n=1)
    meant = f" (did you mean {' or '.join(near)}?)" if near else ""
    raise ConfigError(
        f"{option}={text.clean(key)} is no column of these runs{meant}; known: {', '.join(table)}, "
        "and every setting by its key"
    )


def sort_rows(rows: Sequence[RunRow], column: Column) -> list[RunRow]:
    """`rows` by `column`: the best value or the smallest setting first, blanks last, ties as they stood."""

    return sorted(rows, key=lambda row: sort_key(column.get(row), column.show(row), column.largest_first))


def sort_key(value: Any, shown: str, largest_first: bool = False) -> tuple[bool, bool, float, str]:
    """Numbers by size, then texts, then blanks."""
    figure = text.number(value)
    if figure is not None:
        return False, False, -figure if largest_first else figure, ""
    return value is None or value == "", True, 0.0, shown
