"""What tells a run from others, as typed columns for a tracker's table. Never imports torch."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from sweeps.record.identity import is_ignored
from sweeps.record.records import RunRecord
from sweeps.terminal import clean

Value = str | float | bool

LONGEST = 200  # characters of a column's text; the whole config is kept besides


def columns_of(record: RunRecord) -> dict[str, Value]:
    """What was set on the command line or swept, the seed, and the facts that the run has recorded so far.

    Numbers stay numbers and everything else becomes text; what cannot change the result, such as the name of the sweep,
    is left out.
    """
    columns = dict(_overridden(record))
    if is_value(record.seed):
        columns.setdefault("seed", record.seed)
    for name, fact in record.facts.items():
        if is_value(fact):
            columns.setdefault(name, _short(fact))
    return columns


def is_value(value: Any) -> bool:
    """Whether `value` can stand in a column."""
    return isinstance(value, (str, bool, int)) or (isinstance(value, float) and math.isfinite(value))


def numbers_of(row: Mapping[str, Any]) -> Iterator[tuple[str, float, int]]:
    """(name, value, step) of every number in a row of metrics; the steps of a name are whole and increase.

    Most trackers take whole steps alone. A point between two of them goes to a curve of its own, `between_steps/NAME`,
    whose unit is a thousandth of a step: no point is lost, and the curve of the whole steps has its own axis.
    """
    step = row["step"]
    is_whole = float(step).is_integer()
    for name, value in row.items():
        if name not in ("step", "elapsed") and isinstance(value, (int, float)):
            between = (f"between_steps/{name}", float(value), round(1000 * step))
            yield (name, float(value), int(step)) if is_whole else between


def _overridden(record: RunRecord) -> Iterator[tuple[str, Value]]:
    settings = record.settings()
    for override in record.overrides:
        name, equals, text = override.partition("=")
        key = name.lstrip("+")
        if not equals or is_ignored(key.partition("@")[0].replace("/", "."), record.ignore):
            continue  # deleted, or without effect
        value = settings.get(key, text)  # the text for a choice of a group
        yield key, _short(value if is_value(value) else str(value))


def _short(value: Value) -> Value:
    return clean(value)[:LONGEST] if isinstance(value, str) else value
