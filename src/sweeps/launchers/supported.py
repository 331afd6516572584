"""Which settings of a sweep are honoured by whom: refused where Hydra was told to use another sweeper or launcher."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from sweeps.errors import ConfigError
from sweeps.vision.config import SweepsConfig

_OURS = "hydra_plugins.sweeps."
# What only we do, with the values that mean nothing is to be done.
_BY_SWEEPERS: dict[str, tuple[Any, ...]] = {"repeats": (None,), "zip": ([],), "exclude": ([],)}
_BY_LAUNCHERS: dict[str, tuple[Any, ...]] = {
    "plan": (False,),
    "on_failure": ("continue",),
    "stop_after": (None,),
    "retries": (0,),
    "timeout": (None,),
}


def check_honoured(config: DictConfig, hydra: Any) -> None:
    """Refuse a setting that nobody would honour, and a config that lacks one.

    Args:
        config: a sweep's or a run's.
        hydra: Hydra's own node.

    Raises:
        ConfigError: names the setting and the way out.
    """
    for key in _missing(SweepsConfig, config):
        raise ConfigError(f"{key} is missing: every run needs it, so ~{key} is invalid; set it to what you want")
    if hydra.mode is RunMode.RUN:
        return
    for part, keys, ours in (("sweeper", _BY_SWEEPERS, "grid"), ("launcher", _BY_LAUNCHERS, "local")):
        if str(hydra[part].get("_target_")).startswith(_OURS):
            continue
        chosen = hydra.runtime.choices.get(f"hydra/{part}")
        found = {key: _plain(OmegaConf.select(config, key)) for key in keys}
        unheard = [f"{key}={_shown(value)}" for key, value in found.items() if value not in keys[key]]
        if part == "sweeper" and config.pruner.name == "halving":
            unheard.append("pruner=halving")
        if unheard:
            raise ConfigError(
                f"{unheard[0]} is invalid with hydra/{part}={chosen}, which would ignore it: use hydra/{part}={ours}. "
                "No run was started"
            )


def _missing(schema: type, config: Any, prefix: str = "") -> Iterator[str]:
    """The keys of the schema that were deleted from `config`."""
    for field in dataclasses.fields(schema):
        key = f"{prefix}{field.name}"
        if field.name not in config.keys():  # noqa: SIM118  a key whose value is missing counts as absent in `in`
            yield key
        elif isinstance(field.type, type) and dataclasses.is_dataclass(field.type):
            yield from _missing(field.type, config._get_node(field.name), f"{key}.")


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value


def _shown(value: Any) -> str:
    return (
        str(value).lower() if isinstance(value, bool) else "[...]" if isinstance(value, (list, Mapping)) else str(value)
    )
