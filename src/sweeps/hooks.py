"""The functions that an application adds, `sweep.hooks`: none of them can end a sweep by more than a sentence.

Never imports torch.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sweeps.errors import ConfigError, SweepsError, in_a_line
from sweeps.record.recording import NOT_A_NUMBER, as_fact, as_number
from sweeps.targets import named

COSTS = ("seconds_per_step", "memory", "disk")


def check_hook(name: str, key: str, home: str, cfg: Any) -> dict[str, Any]:
    """The facts that the hook `check`, which the setting `key` names, returns of a config.

    Raises:
        ConfigError: the settings cannot work; or it failed, or returned something else than facts.
    """
    found = _call(name, key, home, cfg)
    shown = f"{key}={name} returned"
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        raise ConfigError(f"{shown} {found!r:.60}: it returns facts as a dict, or None")
    facts = {fact: as_fact(value) for fact, value in found.items()}
    for fact, value in facts.items():
        if value is NOT_A_NUMBER or not isinstance(fact, str):
            raise ConfigError(f"{shown} {{{fact!r}: {found[fact]!r:.60}}}: a fact is a number or a text by its name")
    return facts


def cost_hook(name: str, key: str, home: str, cfg: Any) -> dict[str, float | None]:
    """What the hook `cost`, which the setting `key` names, says of a run: see `COSTS`.

    Raises:
        ConfigError: it failed, or returned something else.
    """
    found = _call(name, key, home, cfg)
    shown = f"{key}={name} returned"
    if not isinstance(found, Mapping) or not found.keys() <= set(COSTS):
        raise ConfigError(f"{shown} {found!r:.60}: it returns a dict with some of {', '.join(COSTS)}")
    costs = {one: None if value is None else as_number(value) for one, value in found.items()}
    for one, value in costs.items():
        if value is not None and (value is NOT_A_NUMBER or not (math.isfinite(value) and value >= 0)):
            raise ConfigError(f"{shown} {one}={found[one]!r:.60}: it is a number, 0 or more, or is left out")
    return costs


def advise_hook(name: str, key: str, home: str, cfg: Any, swept: Sequence[str]) -> list[str]:
    """What the hook `advise`, which the setting `key` names, says of a sweep over the keys `swept`.

    Raises:
        ConfigError: it failed, or returned something else.
    """
    found = _call(name, key, home, cfg, swept)
    if found is None:
        return []
    if not isinstance(found, (list, tuple)) or not all(isinstance(text, str) for text in found):
        raise ConfigError(f"{key}={name} returned {found!r:.60}: it returns a list of sentences, or None")
    return list(found)


def _call(name: str, key: str, home: str, *given: Any) -> Any:
    hook = named(name, key, home)
    try:
        return hook(*given)
    except SweepsError:
        raise  # what it has to say
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{key}={name} failed: {in_a_line(error)}") from error
