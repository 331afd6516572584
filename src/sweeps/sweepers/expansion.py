"""From overrides to runs: combinations, values side by side, exclusions, seeds. Never imports torch."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

from hydra.core.override_parser.types import ChoiceSweep, Glob, Override, RangeSweep, Sweep
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from sweeps.config import AUTO, mount_of, settings_of
from sweeps.decision import without_seed
from sweeps.errors import ConfigError
from sweeps.record.identity import is_ignored, target_of
from sweeps.results.format import plural

MOST_VALUES = 1_000_000  # of one key, and runs of a sweep: more is a typing mistake, and would fill the memory
MAKE_RUNS = (
    "repeats",
    "max_repeats",
    "max_runs",
    "indifference",
    "confirm",
    "zip",
    "exclude",
)  # Settings of the sweep that have done their work once there are runs


def expand(overrides: Sequence[Override], config: DictConfig) -> list[list[str]]:
    """The overrides of every run, in the order in which their keys were first given; of equal keys the last counts.

    An application without the engine's node gets every combination, as Hydra's own sweeper makes them.

    Raises:
        ConfigError: `repeats`, `zip` or `exclude` do not fit what is swept, or a setting of the sweep is itself swept.
        HydraException: a sweep that is no list of values, such as interval(), which needs `hydra/sweeper=search`.
    """
    lists = values_by_key(overrides)
    mount = mount_of(config)
    if mount is None:
        return _combinations(list(lists.values()))
    for key, values in lists.items():
        if len(values) > 1:
            check_sweepable(key, mount, f"several values ({', '.join(value.partition('=')[2] for value in values)})")
    of_grid = {f"{mount}.{one}" for one in MAKE_RUNS}
    lists = {key: values for key, values in lists.items() if target_of(key) not in of_grid}
    settings = settings_of(config)
    if settings.repeats is not None:
        # the first seed of every setting before any second one, so that a sweep that is stopped early has seen them all
        lists = {settings.seed_key: _seeds(settings.repeats, settings.seed_key, config, mount, lists), **lists}
    zips, excluded = (cast(list[Any], OmegaConf.to_container(one)) for one in (settings.zip, settings.exclude))
    return _without(_combinations(_zipped(lists, zips, f"{mount}.zip")), excluded, f"{mount}.exclude")


def is_of_sweep(key: str, mount: str) -> bool:
    """Whether a key, as it is typed, belongs to the engine's node or to Hydra: then it makes no other run."""
    return is_ignored(target_of(key), (mount,))


def check_sweepable(key: str, mount: str, what: str) -> None:
    """Raises a ConfigError if `key` is a setting of the sweep, which has one value and not `what`."""
    if is_of_sweep(key, mount):
        raise ConfigError(
            f"{key} is invalid with {what}: it is a setting of the whole sweep; give it one value, or start another "
            f"sweep, {mount}.name=NAME, for each"
        )


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
    """The values of a discrete sweep, as they are typed."""
    value = override.value()
    if isinstance(value, RangeSweep):
        count_of(override.get_key_element(), value)
    if isinstance(value, ChoiceSweep) and any(isinstance(one, (Glob, Sweep)) for one in value.list):
        raise ConfigError(
            f"{override.input_line} is invalid: glob(), range() and the like stand alone, not among other values; "
            "glob([small,res*]) has several patterns"
        )
    values = list(override.sweep_string_iterator())
    if not values:
        loader = override.config_loader
        known = loader.get_group_options(override.key_or_group) if loader is not None else []
        options = f"; {override.key_or_group} has {', '.join(known)}" if known else ""
        raise ConfigError(f"{override.input_line} is invalid: it matches nothing{options}")
    return values


def count_of(key: str, sweep: RangeSweep) -> float:
    """How many steps a range has; at most 0 where it is empty."""
    # by way of text, a whole number above all others becomes inf
    numbers = [float(str(number)) for number in (sweep.start or 0, sweep.stop or 0, sweep.step)]
    shown = f"{key}=range({', '.join(f'{number:g}' for number in numbers)})"
    if not all(map(math.isfinite, numbers)):
        raise ConfigError(f"{shown} is invalid: its numbers must be finite, such as range(0, 10)")
    start, stop, step = numbers
    count = (stop - start) / step if step else math.inf
    if not count <= MOST_VALUES:
        raise ConfigError(f"{shown} is invalid: it has more than {MOST_VALUES:,} values; use a larger step")
    return count


def _seeds(
    repeats: int | str, key: str, config: DictConfig, mount: str, given: Mapping[str, Sequence[str]]
) -> list[str]:
    """`seed=0`, `seed=1` ... for `repeats`; the first one for a race, which gives the others."""
    shown = f"{mount}.repeats={repeats}"
    count = 1 if repeats == AUTO else repeats
    if isinstance(count, str) or not 1 <= count <= MOST_VALUES:
        raise ConfigError(f"{shown} is invalid: from 1 to {MOST_VALUES:,} seeds, such as {mount}.repeats=5, or {AUTO}")
    for typed, values in given.items():
        if typed.lstrip("+") == key:
            seeds = "0,1,..." if repeats == AUTO else _in_short([str(seed) for seed in range(count)])
            own = _in_short([*map(_value, values)])
            raise ConfigError(f"{shown} means {key}={seeds}; give it or {typed}={own}, not both")
    parent, _, last = key.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else config
    if not isinstance(node, DictConfig) or last not in list(node.keys()):  # `in node` is false for a missing value
        written = cast(dict[str, Any], OmegaConf.to_container(config))
        raise ConfigError(f"{shown} is invalid: {without_seed(written, mount, key)}")
    return [f"{key}={seed}" for seed in range(count)]


def _value(override: str) -> str:
    return override.partition("=")[2]


def _in_short(values: Sequence[str]) -> str:
    """A few values as they are typed."""
    return ",".join(values if len(values) <= 5 else [*values[:3], "...", values[-1]])


def _combinations(lists: Sequence[Sequence[Any]]) -> list[list[str]]:
    """Every combination; an entry that is a tuple holds several overrides."""
    count = math.prod(map(len, lists))
    if count > MOST_VALUES:
        swept = " x ".join(str(len(one)) for one in lists if len(one) > 1)
        raise ConfigError(
            f"{swept} values are invalid: they make {count:,} runs, and {MOST_VALUES:,} are the most; "
            "sweep fewer values, or search with hydra/sweeper=search"
        )
    combined = itertools.product(*lists)
    return [[part for entry in run for part in ((entry,) if isinstance(entry, str) else entry)] for run in combined]


def _zipped(lists: Mapping[str, list[str]], zips: Sequence[Any], setting: str) -> list[Sequence[Any]]:
    """`lists` with each set of zipped keys as one list of tuples, where its first key stood."""
    sets = zips if any(isinstance(one, list) for one in zips) else [zips] if zips else []
    typed = {key.lstrip("+"): key for key in lists}
    left: dict[str, Sequence[Any]] = dict(lists)
    taken: set[str] = set()
    for one in sets:
        names = [str(key).lstrip("+") for key in one] if isinstance(one, list) else [str(one)]
        shown = f"{setting}=[{','.join(names)}]"
        if len(names) < 2:
            raise ConfigError(f"{shown} is invalid: it takes two keys or more, such as {setting}=[model,lr]")
        for name in names:
            if name not in typed:
                swept = ", ".join(key for key, values in lists.items() if len(values) > 1) or "none"
                raise ConfigError(f"{shown} is invalid: {name} is not given; swept keys: {swept}")
            if name in taken or names.count(name) > 1:
                raise ConfigError(f"{shown} is invalid: {name} is zipped twice")
        keys = [typed[name] for name in names]
        if len({len(lists[key]) for key in keys}) > 1:
            counts = ", ".join(f"{key} has {len(lists[key])}" for key in keys)
            raise ConfigError(f"{shown} is invalid: zipped keys need equally many values, but {counts}")
        taken.update(names)
        first = min(keys, key=list(lists).index)
        left[first] = list(zip(*(lists[key] for key in keys), strict=True))
        for key in keys:
            if key != first:
                del left[key]
    return list(left.values())


def _without(runs: list[list[str]], excluded: Sequence[Any], setting: str) -> list[list[str]]:
    """`runs` without those that some exclusion fits."""
    kept = runs
    for rule in excluded:
        wanted = _rule(rule, setting)
        fitting = {id(run) for run in runs if _fits(run, wanted)}
        if not fitting:
            common = set(runs[0]).intersection(*runs[1:]) if len(runs) > 1 else set()
            swept = ",".join(part for part in runs[0] if part not in common)
            shown = ",".join(f"{key}={'|'.join(values)}" for key, values in wanted.items())
            raise ConfigError(f"{setting}: {shown} fits no run; give values as they are swept, such as {swept}")
        kept = [run for run in kept if id(run) not in fitting]
    if not kept:
        raise ConfigError(f"{setting} leaves none of {plural(len(runs), 'run')}; exclude less")
    return kept


def _rule(rule: Any, setting: str) -> dict[str, list[str]]:
    """Keys, and the values of each that an exclusion fits, from `{model: small}` or `model=small`."""
    given: dict[Any, Any] = {}
    if isinstance(rule, dict):
        given = rule
    elif isinstance(rule, str) and all(part.partition("=")[0] and "=" in part for part in rule.split(",")):
        given = dict(part.partition("=")[::2] for part in rule.split(","))
    if not given:
        raise ConfigError(
            f"{setting}: {rule!r} is invalid; write {{model:small,lr:1.0}}, or a run's name such as "
            '"model=small,lr=1.0"'
        )
    lists = {str(key).lstrip("+"): one if isinstance(one, list) else [one] for key, one in given.items()}
    return {key: [str(value) for value in values] for key, values in lists.items()}


def _fits(run: Sequence[str], wanted: Mapping[str, Sequence[str]]) -> bool:
    given = dict(override.lstrip("+").partition("=")[::2] for override in run)
    return all(key in given and any(_alike(given[key], value) for value in values) for key, values in wanted.items())


def _alike(given: str, wanted: str) -> bool:
    """The same text, or the same number: 1e-1 is 0.1."""
    given, wanted = given.strip("'\""), wanted.strip("'\"")
    try:
        return given == wanted or float(given) == float(wanted)
    except ValueError:
        return given.casefold() == wanted.casefold() and wanted.casefold() in ("true", "false", "null", "none")
