"""From a command line to cells: what is swept crosswise, what side by side, what is left out. Never imports torch."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.override_parser.types import Override, RangeSweep
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from sweeps.errors import ConfigError
from sweeps.launchers.fingerprint import HOW_IT_IS_DONE
from sweeps.vision.config import SweepsConfig

MOST_VALUES = 1_000_000  # of one key, and runs of a sweep: more is a typing mistake, and would fill the memory
OF_THE_SWEEP = ("repeats", "zip", "exclude")  # keys that make cells; no cell has them


def expand(overrides: Sequence[Override], config: DictConfig) -> list[list[str]]:
    """The overrides of every cell, in the order in which their keys were first given; of equal keys the last counts.

    Raises:
        ConfigError: `repeats`, `zip` or `exclude` cannot be done with what is swept.
        HydraException: a sweep that is no list of values, such as interval(), which needs `hydra/sweeper=search`.
    """
    lists = values_by_key(overrides)
    if OmegaConf.get_type(config) is not SweepsConfig:  # the sweeper serves other applications, whose keys are theirs
        return _crosswise(list(lists.values()))
    for key, values in lists.items():
        if len(values) > 1 and HOW_IT_IS_DONE.match(f"{key}="):
            raise ConfigError(
                f"{key} is refused with several values ({', '.join(values)}): it is of the whole sweep and makes no "
                "other run; give one value, or another sweep=NAME for each"
            )
    for key in OF_THE_SWEEP:
        lists.pop(key, None)
    repeats, zips, excluded = (OmegaConf.select(config, key) for key in OF_THE_SWEEP)
    if repeats is not None:
        # the first seed of every cell comes before any second one: what is stopped early has seen them all
        lists = {"seed": seeds_of(repeats, any(key.lstrip("+") == "seed" for key in lists)), **lists}
    cells = _crosswise(_zipped(lists, _plain(zips)))
    return _without(cells, _plain(excluded))


def values_by_key(overrides: Sequence[Override]) -> dict[str, list[str]]:
    """`key=value` for every value of every key."""
    lists: dict[str, list[str]] = {}
    for override in overrides:
        key = override.get_key_element()
        if not override.is_sweep_override():
            lists[key] = [f"{key}={override.get_value_element_as_str()}"]
        elif override.is_discrete_sweep():
            lists[key] = [f"{key}={value}" for value in values_of(override)]
        else:
            kind = override.value_type.name if override.value_type is not None else "unknown"
            raise HydraException(
                f"{key}: a grid does not support sweep type {kind}; list its values, or add hydra/sweeper=search"
            )
    return lists


def values_of(override: Override) -> list[str]:
    """The values of a discrete sweep, as they are typed.

    Raises:
        ConfigError: a range is infinite or far too long, or there is none.
    """
    value = override.value()
    if isinstance(value, RangeSweep):
        count_of(override.get_key_element(), value)
    values = list(override.sweep_string_iterator())
    if not values:
        raise ConfigError(_nothing_of(override))
    return values


def count_of(key: str, sweep: RangeSweep) -> float:
    """How many steps a range has; at most 0 where it is empty.

    Raises:
        ConfigError: it is infinite or far too long.
    """
    numbers = [float(number) for number in (sweep.start or 0, sweep.stop or 0, sweep.step)]
    shown = f"{key}=range({', '.join(f'{number:g}' for number in numbers)})"
    if not all(map(math.isfinite, numbers)):
        raise ConfigError(f"{shown} is invalid: its numbers must be finite, such as range(0, 10)")
    start, stop, step = numbers
    count = (stop - start) / step if step else math.inf
    if not count <= MOST_VALUES:
        raise ConfigError(f"{shown} is invalid: it has more than {MOST_VALUES:,} values; use a larger step")
    return count


def _nothing_of(override: Override) -> str:
    """Says that a sweep has no value, and which there are."""
    loader = override.config_loader
    known = loader.get_group_options(override.key_or_group) if loader is not None else []
    options = f"; {override.key_or_group} has {', '.join(known)}" if known else ""
    return f"{override.input_line} is invalid: it matches nothing{options}"


def seeds_of(repeats: int, has_seed: bool) -> list[str]:
    """`seed=0`, `seed=1` ... for `repeats`.

    Raises:
        ConfigError: less than one, or seeds are given as well.
    """
    if has_seed:
        raise ConfigError(f"repeats={repeats} is refused beside seed=: repeats=3 is seed=0,1,2; give one of the two")
    if repeats < 1:
        raise ConfigError(f"repeats={repeats} is refused: at least one seed, such as repeats=5")
    if repeats > MOST_VALUES:
        raise ConfigError(f"repeats={repeats} is invalid: at most {MOST_VALUES:,} seeds, such as repeats=5")
    return [f"seed={seed}" for seed in range(repeats)]


def _crosswise(lists: Sequence[Sequence[Any]]) -> list[list[str]]:
    """Every combination; an entry that is a tuple holds several overrides."""
    count = math.prod(map(len, lists))
    if count > MOST_VALUES:
        swept = " x ".join(str(len(one)) for one in lists if len(one) > 1)
        raise ConfigError(
            f"{swept} values are invalid: they make {count:,} runs, and {MOST_VALUES:,} are the most; "
            "sweep fewer values, or search with hydra/sweeper=search"
        )
    combined = itertools.product(*lists)
    return [[part for entry in cell for part in ((entry,) if isinstance(entry, str) else entry)] for cell in combined]


def _zipped(lists: Mapping[str, list[str]], zips: Sequence[Any]) -> list[Sequence[Any]]:
    """`lists` with each set of zipped keys as one list of tuples, where its first key stood."""
    groups = zips if any(isinstance(group, list) for group in zips) else [zips] if zips else []
    left: dict[str, Sequence[Any]] = dict(lists)
    taken: set[str] = set()
    for group in groups:
        names = [str(key) for key in group] if isinstance(group, list) else [str(group)]
        shown = f"zip=[{','.join(names)}]"
        if len(names) < 2:
            raise ConfigError(f"{shown} is refused: side by side takes two keys or more, such as zip=[model,optim.lr]")
        for name in names:
            if name not in lists:
                swept = ", ".join(key for key, values in lists.items() if len(values) > 1) or "none"
                raise ConfigError(f"{shown} is refused: {name} is not given; swept are: {swept}")
            if name in taken or names.count(name) > 1:
                raise ConfigError(f"{shown} is refused: {name} is zipped twice")
        lengths = {name: len(lists[name]) for name in names}
        if len(set(lengths.values())) > 1:
            counts = ", ".join(f"{name} has {count}" for name, count in lengths.items())
            raise ConfigError(f"{shown} is refused: side by side needs equally many values, but {counts}")
        taken.update(names)
        first = min(names, key=list(lists).index)
        left[first] = list(zip(*(lists[name] for name in names), strict=True))
        for name in names:
            if name != first:
                del left[name]
    return list(left.values())


def _without(cells: list[list[str]], excluded: Sequence[Any]) -> list[list[str]]:
    """`cells` without those that some exclusion fits."""
    kept = cells
    for rule in excluded:
        wanted = _rule(rule)
        fitting = [cell for cell in cells if _fits(cell, wanted)]
        if not fitting:
            common = set(cells[0]).intersection(*cells[1:]) if len(cells) > 1 else set()
            swept = ",".join(part for part in cells[0] if part not in common)
            raise ConfigError(f"exclude: {_shown(wanted)} fits no cell; name values as they are swept, such as {swept}")
        kept = [cell for cell in kept if not any(cell is other for other in fitting)]
    if not kept:
        raise ConfigError(f"exclude leaves nothing of {len(cells)} cells; exclude less")
    return kept


def _rule(rule: Any) -> dict[str, list[str]]:
    """Keys and the values of each that an exclusion fits, from `{model: nin}` or `model=nin`."""
    if isinstance(rule, dict) and rule:
        return {str(key): [str(one) for one in (value if isinstance(value, list) else [value])]
                for key, value in rule.items()}  # fmt: skip
    parts = [part.partition("=") for part in str(rule).split(",")] if isinstance(rule, str) else []
    if not parts or not all(equals and key for key, equals, _ in parts):
        raise ConfigError(
            f"exclude: {rule!r} is no cell; write {{model:nin,optim.lr:1.0}}, or a run's name such as "
            '"model=nin,optim.lr=1.0"'
        )
    return {key: [value] for key, _, value in parts}


def _fits(cell: Sequence[str], wanted: Mapping[str, Sequence[str]]) -> bool:
    given = dict(override.lstrip("+").partition("=")[::2] for override in cell)
    return all(key in given and any(_alike(given[key], value) for value in values) for key, values in wanted.items())


def _alike(given: str, wanted: str) -> bool:
    """The same text, or the same number: 1e-1 is 0.1."""
    try:
        return given == wanted or float(given) == float(wanted)
    except ValueError:
        return given.casefold() == wanted.casefold() and wanted.casefold() in ("true", "false", "null", "none")


def _shown(wanted: Mapping[str, Sequence[str]]) -> str:
    return ",".join(f"{key}={'|'.join(values)}" for key, values in wanted.items())


def _plain(node: Any) -> list[Any]:
    """A list of the config as plain data."""
    found = OmegaConf.to_container(node) if OmegaConf.is_config(node) else node
    return found if isinstance(found, list) else []
