"""JSON data as dataclasses, or as rows of metrics: with the declared types, so that their users need no guards."""

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Hashable, Mapping
from enum import StrEnum
from typing import Any, TypeVar, cast

from sweeps.record.files import parse_json

_T = TypeVar("_T")
_LARGEST = 2**63  # what other programs, and C, still take for a whole number


def typed(cls: type[_T], data: object) -> _T:
    """`data` as a `cls`, a dataclass or a NamedTuple; keys that it does not know are left out.

    Raises:
        ValueError: names the field that is missing or of another type.
    """
    if not isinstance(data, dict):
        raise ValueError(f"{_shown(data)} is not an object")
    hints, needed = _fields(cast(Hashable, cls))
    missing = [name for name in needed if name not in data]
    if missing:
        raise ValueError(f"{missing[0]} is missing")
    return cls(**{name: _converted(data[name], hint, name) for name, hint in hints.items() if name in data})


@functools.cache
def _fields(cls: Any) -> tuple[Mapping[str, Any], list[str]]:
    """The types of the fields, and the fields that have no default."""
    hints = typing.get_type_hints(cls)
    if not dataclasses.is_dataclass(cls):
        return hints, [name for name in hints if name not in getattr(cls, "_field_defaults", {})]
    fields = dataclasses.fields(cls)
    missing = dataclasses.MISSING
    needed = [field.name for field in fields if field.default is missing and field.default_factory is missing]
    return {field.name: hints[field.name] for field in fields}, needed


def _converted(value: Any, hint: Any, name: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin is types.UnionType:  # always `X | None` here
        return None if value is None else _converted(value, arguments[0], name)
    if origin is list and isinstance(value, list):
        return [_converted(item, arguments[0], f"{name}[{place}]") for place, item in enumerate(value)]
    if origin is dict and isinstance(value, dict):
        return {key: _converted(item, arguments[1], f"{name}.{key}") for key, item in value.items()}
    if hint is float and is_number(value):
        return float(value)
    if hint is int and is_number(value) and isinstance(value, int):
        return value
    if hint is str and isinstance(value, str):
        return value
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return hint(value)
    if dataclasses.is_dataclass(hint):
        try:
            return typed(cast(type, hint), value)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
    raise ValueError(f"{name}={_shown(value)} is not {_NAMES.get(origin or hint, 'what belongs there')}")


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


_NAMES = {str: "a text", int: "a whole number", float: "a finite number", list: "a list", dict: "an object"}


def is_number(value: object) -> bool:
    """Whether `value` is a finite number that a float and 64 bits can hold; a bool is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return -_LARGEST <= value < _LARGEST if isinstance(value, int) else math.isfinite(value)


def _shown(value: object) -> str:
    text = repr(value) if isinstance(value, (str, int, float, bool, type(None))) else f"{type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:60]}..."
