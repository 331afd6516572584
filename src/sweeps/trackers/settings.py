"""The settings of a run that tell runs apart, as typed columns for a tracker's table."""

from collections.abc import Iterator, Mapping
from typing import Any

Value = str | float | bool

# Groups of the config that are named by what they build, and the single settings that tell runs apart.
_GROUPS = ("model", "optim", "schedule")
_PARTS = ("model", "optim", "schedule", "augment", "trainer", "resize")
_PLAIN = ("seed", "init")
_OF_DATA = ("limit", "test_limit", "validation")
_NO_COLUMNS = ("checkpoint_every", "save_weights", "threads", "num_classes", "image_size", "in_channels")


def columns_of(config: Mapping[str, Any]) -> dict[str, Value]:
    """The settings of a run as typed columns: numbers as numbers, names as text; what is not set has none."""
    return dict(_columns(config))


def _columns(config: Mapping[str, Any]) -> Iterator[tuple[str, Value]]:
    for group in _GROUPS:
        target = config.get(group, {}).get("_target_")
        if target:
            yield group, str(target).rpartition(".")[2]
    yield "dataset", str(config.get("dataset", {}).get("name", ""))
    for key in _PLAIN:
        if key in config:
            yield key, config[key]
    pruner = config.get("pruner", {}).get("name")
    if pruner:
        yield "pruner", str(pruner)
    for key in _OF_DATA:
        if config.get("dataset", {}).get(key) is not None:
            yield f"dataset.{key}", config["dataset"][key]
    for part in _PARTS:
        for key, value in config.get(part, {}).items():
            if key.startswith("_") or key in _NO_COLUMNS:
                continue
            if isinstance(value, (str, int, float)):
                yield f"{part}.{key}", value
            elif isinstance(value, (list, tuple)):
                yield f"{part}.{key}", str(list(value))
