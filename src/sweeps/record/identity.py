"""Which run is which: the identity of its settings, the name of its folder. This module never imports torch."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sweeps.errors import ConfigError

NAME_LIMIT = 120  # bytes; file systems stop at 255, and people stop reading earlier

# Part of every identity: raised when the engine changes so that equal settings give other results.
RESULT_VERSION = 2


def flatten(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of every leaf; 1.0 and 1 are one value, since a command line does not tell them apart.

    A list is one value, unless it holds mappings: then its places are keys.
    """
    if isinstance(node, list) and any(isinstance(item, Mapping) for item in node):
        node = dict(enumerate(node))
    if isinstance(node, Mapping) and node:
        for key, value in node.items():
            yield from flatten(value, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, _canonical(node)


def settings_of(config: Mapping[str, Any], ignore: Iterable[str]) -> dict[str, Any]:
    """The settings that can change a result, by their dotted keys: the resolved `config` without `ignore`."""
    return {key: value for key, value in flatten(config) if not is_ignored(key, ignore)}


def is_ignored(key: str, ignore: Iterable[str]) -> bool:
    """Whether a dotted key is one of `ignore`, or lies below one."""
    return any(key == one or key.startswith(f"{one}.") for one in (*ignore, "hydra"))


def run_id(config: Mapping[str, Any], ignore: Iterable[str]) -> str:
    """The identity of a run: 12 hex digits of the SHA-256 of all settings that can change its result."""
    return digest(settings_of(config, ignore))


def setting_id(config: Mapping[str, Any], ignore: Iterable[str], seed_keys: Iterable[str]) -> str:
    """The identity of a setting: what runs that differ in their seed alone have in common.

    `seed_keys` are the key of the seed and those that follow from it.
    """
    return digest(settings_of(config, (*ignore, *seed_keys)))


def digest(settings: Mapping[str, Any]) -> str:
    """The identity that these settings make, by their dotted keys."""
    return hashlib.sha256(json.dumps([RESULT_VERSION, settings], sort_keys=True).encode()).hexdigest()[:12]


def target_of(override: str) -> str:
    """The dotted key of the config that an override changes: sweep.pruner by `+sweep/pruner@sweep.pruner=asha`."""
    name, _, package = override.partition("=")[0].lstrip("+~").partition("@")
    package = package.rpartition(":")[2]
    return package.removeprefix("_global_.") if package and package != "_group_" else name.replace("/", ".")


def run_name(overrides: Iterable[str], ignore: Iterable[str] = ()) -> str:
    """A readable folder name that depends on the overrides alone, so that a grid can grow without moving old runs.

    Overrides that cannot change the result are left out; a name that would be too long, or that holds characters
    which some file system or shell refuses, is cut or mended and ends in a hash of the whole.
    """
    parts: dict[str, str] = {}
    for override in overrides:
        key = override.partition("=")[0].lstrip("+~")
        if not is_ignored(target_of(override), ignore):
            parts[key] = override
    whole = ",".join(parts[key] for key in sorted(parts))
    name = re.sub(r"[^A-Za-z0-9=.,+_@~-]+", "-", whole)
    if name != whole or len(name) > NAME_LIMIT:
        digest = hashlib.sha256(whole.encode(errors="surrogatepass")).hexdigest()  # an argument may be no text
        name = f"{name[: NAME_LIMIT - 9]}-{digest[:8]}"
    return name or "default"


def labels(jobs: Sequence[Sequence[str]], ignore: Iterable[str] = ()) -> list[str]:
    """For each job's overrides a short name: without those that all jobs share."""
    common = set(jobs[0]).intersection(*jobs[1:]) if len(jobs) > 1 else set()
    return [run_name((override for override in job if override not in common), ignore) for job in jobs]


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """How two sets of settings (see `settings_of`) differ, as `key: old -> new`, for people."""
    before, after = ({key: json.dumps(value) for key, value in settings.items()} for settings in (old, new))
    changed = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
    texts = [f"{key}: {before.get(key, 'absent')} -> {after.get(key, 'absent')}" for key in changed]
    return ", ".join(texts) or "the settings are the same, but the release gives them another meaning"


def sweep_folder(output: str, sweep: str) -> str:
    """`output/sweep`, the folder of a sweep.

    Raises:
        ConfigError: the sweep's name would leave the output folder, or no file system would take it.
    """
    if not output:
        raise ConfigError(
            "sweep.output= is invalid: it names the folder that sweeps are written to, such as sweep.output=multirun"
        )
    name = str(sweep)
    parts = name.split("/")
    if name.startswith("/") or not all(parts) or {".", ".."} & set(parts) or not name.isprintable():
        raise ConfigError(
            f"sweep.name={name!r} is invalid: a sweep's name is a folder below {output}, such as sweep.name=lr_study"
        )
    if any(len(part.encode()) > NAME_LIMIT for part in parts):
        raise ConfigError(
            f"sweep.name={name[:40]}... is invalid: it has {len(name)} characters, {NAME_LIMIT} are allowed"
        )
    return f"{output.rstrip('/')}/{name}"


def _canonical(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_canonical(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value
