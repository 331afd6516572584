"""Values as the text of a cell: safe on a terminal, short, and never rounding two settings into one."""

import json
from typing import Any

from sweeps.record.typed import is_number
from sweeps.terminal import clean as clean  # the text of a cell

BLANK = "-"
_LARGEST = 1e100  # sums and squares of smaller figures are finite; no loss and no time comes near


def number(value: object) -> float | None:
    """`value` when it is a number that can be reckoned with, else None; a bool is none."""
    return value if isinstance(value, (int, float)) and is_number(value) and abs(value) < _LARGEST else None


def whole(value: object) -> int | None:
    """`value` when it is a finite number, cut to a whole one, else None."""
    found = number(value)
    return None if found is None else int(found)


def setting(value: Any) -> str:
    """A setting in full: rounding could make two cells look the same."""
    if value is None:
        return BLANK
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return clean(json.dumps(value, default=str))


def fraction(value: float | None) -> str:
    """An accuracy or a loss, to four places; a large loss to as many digits."""
    if value is None:
        return BLANK
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:.4g}"


def p_value(value: float) -> str:
    """`p = 0.031`: a p-value with two significant digits, and no smaller than anybody believes."""
    return f"p = {value:.2g}" if value >= 1e-4 else "p < 0.0001"


def duration(value: float | None) -> str:
    """Seconds, with a tenth as long as it can matter."""
    if value is None:
        return BLANK
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def rate(value: float | None) -> str:
    """Examples per second."""
    return BLANK if value is None else f"{value:,.0f}"


def quantity(value: float | None) -> str:
    """A parameter count: 61,706 or 46.8M."""
    if value is None:
        return BLANK
    return f"{value / 1e6:.1f}M" if value >= 1e6 else f"{value:,.0f}"


def metric(value: Any) -> str:
    """Any entry of a metrics row."""
    found = number(value)
    if found is None:
        return BLANK if value is None else clean(value)
    return str(found) if isinstance(found, int) else f"{found:.5g}"


def plural(count: int, noun: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
