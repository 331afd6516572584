"""Values as the text of a table: safe on a terminal, short, and never rounding two settings into one."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from sweeps.record.typed import is_number
from sweeps.terminal import clean as clean  # the text of a table

BLANK = "-"
BLOCKS = "▁▂▃▄▅▆▇█"
CURVE_WIDTH = 20  # characters; of more values some are left out
_LARGEST = 1e100  # sums and squares of smaller numbers are finite; no loss and no time comes near


def number(value: object) -> float | None:
    """`value` when it is a number to calculate with, else None; a bool is none."""
    return value if isinstance(value, (int, float)) and is_number(value) and abs(value) < _LARGEST else None


def setting(value: Any) -> str:
    """A setting in full: rounding could make two of them look the same."""
    if value is None:
        return "null"
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return clean(json.dumps(value, default=str))


def figure(value: float | None) -> str:
    """A metric or a mean of it, to four decimals; very small and large ones to about as many digits."""
    if value is None:
        return BLANK
    size = abs(value)
    if 1000 <= size < 1e7:
        return f"{value:,.1f}"
    return f"{value:.4f}" if value == 0 or 0.001 <= size < 1000 else f"{value:.4g}"


def metric(value: Any) -> str:
    """Any entry of a row of metrics."""
    found = number(value)
    if found is None:
        return BLANK if value is None else setting(value)
    return fact(found) if isinstance(found, int) else figure(found)


def fact(value: Any) -> str:
    """What an application recorded: 61,706, or four digits of a number that is not whole."""
    found = number(value)
    if found is None:
        return BLANK if value is None else setting(value)
    if isinstance(found, int):
        return f"{found:,}" if abs(found) >= 10_000 else str(found)  # 2024 may be a year
    return f"{found:,.0f}" if 1000 <= abs(found) < 1e9 else f"{found:.4g}"


def steps(value: float) -> str:
    """Steps done: 3, 0.25 or 12,000."""
    return f"{value:,.4f}".rstrip("0").rstrip(".")


def p_value(value: float) -> str:
    """`p = 0.031`: a p-value with two significant digits, and no smaller than anybody believes."""
    return f"p = {value:.2g}" if value >= 1e-4 else "p < 0.0001"


def duration(value: float | None) -> str:
    """Seconds, with a tenth as long as it can matter."""
    if value is None:
        return BLANK
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def plural(count: float, noun: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def counted(statuses: Iterable[tuple[str, int]]) -> str:
    """`2 failed, 1 diverged`, or a dash."""
    return ", ".join(f"{count:,} {status}" for status, count in statuses) or BLANK


def sparkline(values: Sequence[float], low: float, high: float) -> str:
    """One block a value, at most `CURVE_WIDTH` of them; the first and the last value are always there."""
    count = min(len(values), CURVE_WIDTH)
    places = [round(at * (len(values) - 1) / max(count - 1, 1)) for at in range(count)]
    heights = [(values[place] - low) / (high - low) if high > low else 0.5 for place in places]
    return "".join(BLOCKS[min(int(height * len(BLOCKS)), len(BLOCKS) - 1)] for height in heights)
