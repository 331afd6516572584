"""From a composed config to plain data, and to what identifies the run. Never imports torch."""

import enum
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf, SCMode
from omegaconf.errors import OmegaConfBaseException

from sweeps.config import lookup, mount_of
from sweeps.errors import ConfigError
from sweeps.record import identity
from sweeps.record.masking import marked

_REFERENCE = re.compile(r"\$\{\s*(\.*[\w.\[\]-]+)\s*\}")
# What a config may read that belongs to the place or the time of a run, not to its setting. The number of a job is none
# of it: it may be the seed.
_OF_THE_RUN = re.compile(r"\$\{\s*(now:|hydra:\s*(runtime\.(output_dir|cwd)|sweep\.|run\.|job\.override_dirname))")


@dataclass(frozen=True)
class Resolved:
    """A composed config as plain data, with the identity of its run.

    `config` has every interpolation replaced; text from the environment knows how a record shows it (see
    `sweeps.record.masking`). `settings` is the engine's node in it, which stands at `mount`. `ignore` are the keys that
    are no part of the identity, `seed_keys` those that hold the seed or follow from it.
    """

    config: dict[str, Any]
    settings: dict[str, Any]
    mount: str
    ignore: tuple[str, ...]
    seed_keys: tuple[str, ...]
    run_id: str
    setting_id: str
    seed: Any

    @property
    def max_steps(self) -> float | None:
        """How many steps a whole run has, where the application says so."""
        return cast("float | None", self.settings["max_steps"])


def resolve(cfg: DictConfig, folders: Sequence[Path]) -> Resolved:
    """The config of a run that lives in the first of `folders`, below the others; inside of it Hydra's own is set.

    A value that holds one of the folders, the time, or another thing of this run alone tells no settings apart.

    Raises:
        ConfigError: the engine's node is missing, or the seed is no number or text.
    """
    mount = mount_of(cfg)
    if mount is None:
        raise ConfigError("the config has no settings of sweeps; add `- sweep: default` to its defaults list")
    raw = OmegaConf.to_container(cfg, structured_config_mode=SCMode.DICT)
    try:
        found = OmegaConf.to_container(cfg, resolve=True, structured_config_mode=SCMode.DICT)
    except OmegaConfBaseException:
        found = _leaf_by_leaf(cfg)  # a value that nobody may use; the run fails with Hydra's words where it is used
    plain = _plain(found)
    settings = lookup(plain, mount)
    written = list(_leaves(raw))
    places = [str(folder) for folder in folders if len(folder.parts) > 1]
    elsewhere = {key for key, value in written if isinstance(value, str) and _OF_THE_RUN.search(value)} | {
        key for key, value in _leaves(plain) if isinstance(value, str) and any(place in value for place in places)
    }
    named = [str(key) for key in settings["ignore"]]
    ignore = tuple(dict.fromkeys((mount, *named, *sorted(_followers(written, elsewhere)))))
    seed_key = str(settings["seed_key"])
    seed_keys = tuple(dict.fromkeys((seed_key, *sorted(_followers(written, {seed_key})))))
    config = cast(dict[str, Any], marked(plain, raw, os.environ, lambda key: not identity.is_ignored(key, ignore)))
    run_id = identity.run_id(config, ignore)
    setting_id = identity.setting_id(config, ignore, seed_keys)
    seed = lookup(plain, seed_key)
    if isinstance(seed, (dict, list)):
        raise ConfigError(f"{mount}.seed_key={seed_key} is invalid: it has to name a single value, not {seed!r:.60}")
    return Resolved(config, lookup(config, mount), mount, ignore, seed_keys, run_id, setting_id, seed)


def _plain(value: Any) -> Any:
    """`value` as JSON has it: names of enums, paths and keys as text."""
    if isinstance(value, Mapping):
        return {key.name if isinstance(key, enum.Enum) else str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, enum.Enum):
        return value.name
    return value if value is None or isinstance(value, (str, bool, int, float)) else str(value)


def _leaf_by_leaf(node: Any) -> Any:
    """A config of which some value cannot be resolved: that one as it was written."""
    if OmegaConf.is_list(node):
        return [_leaf(node, place) for place in range(len(node))]
    return {key: _leaf(node, key) for key in node}


def _leaf(node: Any, key: Any) -> Any:
    child = node._get_node(key)
    if OmegaConf.is_config(child) and not (child._is_none() or child._is_missing() or child._is_interpolation()):
        return _leaf_by_leaf(child)
    try:
        value = node[key]
        return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
    except OmegaConfBaseException:
        return child._value()


def _leaves(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of everything that is no mapping; entries of a list stand under the key of the list."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from _leaves(value, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(node, list):
        for item in node:
            yield prefix, item
    else:
        yield prefix, node


def _followers(written: Iterable[tuple[str, Any]], keys: Iterable[str]) -> set[str]:
    """`keys`, and those whose values refer to one of them, directly or by way of others."""
    references: dict[str, list[str]] = {}
    for key, value in written:
        if isinstance(value, str) and "${" in value:
            references.setdefault(key, []).extend(_absolute(key, match) for match in _REFERENCE.findall(value))
    found = set(keys)
    while True:
        more = {
            key
            for key, targets in references.items()
            if key not in found and any(_touches(target, one) for target in targets for one in found)
        }
        if not more:
            return found
        found |= more


def _touches(target: str, key: str) -> bool:
    return target == key or key.startswith(f"{target}.")


def _absolute(key: str, reference: str) -> str:
    """The dotted key that `reference`, written at `key`, means: one dot is the same level, two the one above."""
    name = reference.lstrip(".")
    dots = len(reference) - len(name)
    if not dots:
        return name
    parents = key.split(".")[:-dots]
    return ".".join([*parents, name])
