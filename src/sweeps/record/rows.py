"""A line of metrics.jsonl: from what a training function reports, and back from the file. Never imports torch."""

import contextlib
import math
import numbers
from collections.abc import Mapping
from typing import Any

from sweeps.errors import ReportError
from sweeps.record.files import parse_json
from sweeps.record.typed import is_number

RESERVED = ("step", "elapsed")  # names in a row that are no metrics
NOT_A_NUMBER: Any = object()
_LARGEST = 10**308  # a whole number beyond it is no float, and no reader takes it


def new_row(metrics: Mapping[str, Any], step: Any, last: float | None, elapsed: float) -> dict[str, Any]:
    """The row of `metrics` at `step`, None being the next one, after the row at `last`, if there is one.

    What is not finite becomes None.

    Raises:
        ReportError: a metric is no number, or the step does not increase.
    """
    at = (last or 0) + 1 if step is None else as_number(step)
    if at is NOT_A_NUMBER or not math.isfinite(at):
        raise ReportError(f"report(step={step!r}) is invalid: a step is a number, such as the epochs done")
    if last is not None and at <= last:
        raise ReportError(f"report(step={at:g}) is invalid: the last report was of step {last:g}, and steps increase")
    if not isinstance(metrics, Mapping):
        raise ReportError(f"report({metrics!r:.60}) is invalid: metrics are numbers by name, report({{'loss': 0.1}})")
    row: dict[str, Any] = {"step": at, "elapsed": round(elapsed, 6)}
    for name, value in metrics.items():
        number = as_number(value)
        if number is NOT_A_NUMBER or not isinstance(name, str) or name in RESERVED:
            rule = "metrics are numbers by name; convert it, float(...), or leave it out"
            if name in RESERVED:
                rule = f"{name} is the engine's own name; choose another one"
            elif number is not NOT_A_NUMBER:
                rule = "the name of a metric is a text"
            elif getattr(value, "shape", ()):
                rule = "metrics are single numbers by name; take one, such as its mean(), or leave it out"
            raise ReportError(f"report({{{name!r}: {value!r:.60}}}) is invalid: {rule}")
        row[name] = number if math.isfinite(number) else None
    return row


def as_number(value: Any) -> Any:
    """`value` as a Python number; `NOT_A_NUMBER` where it is none. Scalars of numpy and torch are numbers."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, (int, float)):
        return value if isinstance(value, float) or abs(value) < _LARGEST else NOT_A_NUMBER
    if isinstance(value, (str, bytes)) or value is None:
        return NOT_A_NUMBER
    item = getattr(value, "item", None)
    with contextlib.suppress(Exception):
        found = item() if callable(item) else float(value) if isinstance(value, numbers.Real) else NOT_A_NUMBER
        return found if isinstance(found, (int, float)) else NOT_A_NUMBER
    return NOT_A_NUMBER


def as_fact(value: Any) -> Any:
    """`value` as a record keeps it of a run: a number, a text, a boolean or None; `NOT_A_NUMBER` where it is none."""
    return value if value is None or isinstance(value, (str, bool)) else as_number(value)


def parse_row(line: bytes) -> dict[str, Any]:
    """A line of `metrics.jsonl`: figures and texts by name, and `step`, a number.

    Raises:
        ValueError: it is something else.
    """
    row = parse_json(line)
    if not isinstance(row, dict):
        raise ValueError(f"{str(row)[:60]} is not an object")
    for key, value in row.items():
        if not (value is None or isinstance(value, (bool, str)) or is_number(value)):
            raise ValueError(f"{key[:60]} is neither a finite number nor a text")
    if "step" not in row and "epoch" in row:  # release 0.1
        row = {"step": row["epoch"], "elapsed": None, **row}
    if not is_number(row.get("step")):
        raise ValueError("step is not a number")
    return row
