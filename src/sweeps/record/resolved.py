"""From a composed config to plain data, and to what identifies the run. Never imports torch."""

import copy
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
from sweeps.record.masking import marked, shown

# `${seed}`, or what reads a key by its name.
_REFERENCE = re.compile(
    r"""\$\{\s*(?:oc\.(?:select|deprecated|dict\.keys|dict\.values)\s*:\s*)?["']?(\.*[\w.\[\]-]+)["']?\s*[,}]"""
)
# What a config may read that belongs to the place or the time of a run, not to its setting. The number of a job is none
# of it: it may be the seed.
_OF_THE_RUN = re.compile(
    r"\$\{\s*((?:now:|hydra:\s*(?:runtime\.(?:output_dir|cwd)|sweep\.|run\.|job\.override_dirname))[^{}]*)\}"
)


@dataclass(frozen=True)
class Resolved:
    """A composed config as plain data, with the identity of its run.

    `config` has every interpolation replaced; text from the environment knows how a record shows it (see
    `sweeps.record.masking`). `identified` is the same with a name in place of what belongs to the place or the time of
    this run alone. `settings` is the engine's node, which stands at `mount`. `ignore` are the keys that are no part of
    the identity, `seed_keys` those that hold the seed or follow from it.
    """

    config: dict[str, Any]
    identified: dict[str, Any]
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

    def shown_settings(self) -> dict[str, Any]:
        """What identifies the run, the seed included, by dotted keys, as a record shows it."""
        return identity.settings_of(shown(self.identified), self.ignore)


def resolve(cfg: DictConfig, folders: Sequence[Path]) -> Resolved:
    """The config of a run that lives in the first of `folders`, below the others; inside of it Hydra's own is set.

    Where a value holds one of the folders, the time, or another thing of this run alone, that part tells no settings
    apart; the rest of the value does.

    Raises:
        ConfigError: the engine's node is missing, or the seed is no number or text.
    """
    mount = mount_of(cfg)
    if mount is None:
        raise ConfigError("the config has no settings of sweeps; add `- sweep: default` to its defaults list")
    raw = OmegaConf.to_container(cfg, structured_config_mode=SCMode.DICT)
    plain = _resolved(cfg)
    anywhere = _resolved(_without_place(cfg)) if _OF_THE_RUN.search(str(raw)) else plain
    anywhere = _without_folders(anywhere, [str(folder) for folder in folders if len(folder.parts) > 1])
    settings = lookup(plain, mount)
    ignore = tuple(dict.fromkeys((mount, *(str(key) for key in settings["ignore"]))))
    seed_key = str(settings["seed_key"])
    seed_keys = tuple(dict.fromkeys((seed_key, *sorted(_followers(identity.flatten(raw), seed_key)))))
    config, identified = (
        cast(dict[str, Any], marked(one, raw, os.environ, lambda key: not identity.is_ignored(key, ignore)))
        for one in (plain, anywhere)
    )
    run_id = identity.run_id(identified, ignore)
    setting_id = identity.setting_id(identified, ignore, seed_keys)
    seed = lookup(plain, seed_key)
    if isinstance(seed, (dict, list)):
        raise ConfigError(f"{mount}.seed_key={seed_key} is invalid: it has to name a single value, not {seed!r:.60}")
    settings = lookup(config, mount)
    return Resolved(config, identified, settings, mount, ignore, seed_keys, run_id, setting_id, seed)


def _resolved(cfg: DictConfig) -> Any:
    try:
        found = OmegaConf.to_container(cfg, resolve=True, structured_config_mode=SCMode.DICT)
    except OmegaConfBaseException:
        found = _leaf_by_leaf(cfg)  # a value that nobody may use; the run fails with Hydra's words where it is used
    return _plain(found)


def _without_place(cfg: DictConfig) -> DictConfig:
    """A copy in which what is read of the place or the time of the run is a name: @hydra:runtime.cwd@/data."""

    def name(match: re.Match[str]) -> str:
        return f"@{re.sub(r'[^a-z:._%A-Z-]', '', match[1])}@"

    copied = copy.deepcopy(cfg)
    waiting: list[Any] = [copied]
    while waiting:
        node = waiting.pop()
        value = node._value()
        if isinstance(value, str):
            node.__dict__["_content" if OmegaConf.is_config(node) else "_val"] = _OF_THE_RUN.sub(name, value)
        elif OmegaConf.is_config(node) and value is not None:
            waiting += node._content.values() if isinstance(value, dict) else value
    return copied


def _without_folders(node: Any, folders: Sequence[str]) -> Any:
    """`node` with a name in place of each of `folders`, where one is a path in a text or begins one."""
    if isinstance(node, dict):
        return {key: _without_folders(item, folders) for key, item in node.items()}
    if isinstance(node, list):
        return [_without_folders(item, folders) for item in node]
    for number, folder in enumerate(folders):
        if isinstance(node, str) and folder in node:
            node = re.sub(rf"(?<![\w.-]){re.escape(folder)}(?=/|$)", f"@folder{number}@", node)
    return node


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


def _followers(written: Iterable[tuple[str, Any]], key: str) -> set[str]:
    """`key`, and those whose values refer to it, directly or by way of others."""
    references = {name: list(_references(name, value)) for name, value in written}
    found = {key}
    while True:
        more = {
            name
            for name, targets in references.items()
            if name not in found and any(_touches(target, one) for target in targets for one in found)
        }
        if not more:
            return found
        found |= more


def _references(name: str, value: Any) -> Iterator[str]:
    """The dotted keys that `value`, written at `name`, refers to."""
    if isinstance(value, (Mapping, list)):
        for place, item in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from _references(f"{name}.{place}", item)
    elif isinstance(value, str):
        yield from (_absolute(name, match) for match in _REFERENCE.findall(value))


def _touches(target: str, key: str) -> bool:
    """Whether one of the two is, or holds, the other: entries of a list of plain values stand under its key."""
    return target == key or key.startswith(f"{target}.") or target.startswith(f"{key}.")


def _absolute(key: str, reference: str) -> str:
    """The dotted key that `reference`, written at `key`, means: one dot is the same level, two the one above."""
    reference = re.sub(
        r"(^)?\[([\w.-]+)\]", lambda match: match[2] if match[1] is not None else f".{match[2]}", reference
    )
    name = reference.lstrip(".")
    dots = len(reference) - len(name)
    if not dots:
        return name
    parents = key.split(".")[:-dots]
    return ".".join([*parents, name])
