"""What a run is composed from, as a hash: one that is equal need not be composed. Never imports torch."""

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from importlib import metadata, resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from sweeps.errors import ConfigError
from sweeps.record import identity
from sweeps.record.records import RECORD_NAME, SWEEP_FILES

# Resolvers whose value follows from the config, or is no part of a run's identity. Others may read the environment, or
# rest on code that has changed.
_KNOWN = re.compile(r"oc\.(?!env)[\w.]+|now|hydra|sweeps\.\w+|vision\.\w+")
_RESOLVER = re.compile(r"\$\{\s*([\w.]+)\s*:")
_NUMBER = re.compile(r"\$\{\s*hydra[:.]\s*job\.(num|id)")
MOST_FILES = 10_000  # that are looked at for what a run is composed from


class Fingerprint:
    """The hash of a run's overrides together with every file, stored config and version that their meaning rests on.

    With an equal one a run need not be composed to be known, which would take a hundred times as long.

    Of overrides of the engine's node, at `mount`, those count that a record depends on: another number of retries makes
    no run unknown. Always empty, and so never equal, where a config reads what is no part of the hash: the environment,
    or files of a kind that is not known here.
    """

    def __init__(self, config: DictConfig, mount: str | None) -> None:
        versions = [identity.RESULT_VERSION, *map(metadata.version, ("hydra-core", "omegaconf"))]
        digest = hashlib.sha256(repr((config.hydra.job.config_name, versions)).encode())
        self._mount = () if mount is None else (mount,)
        self._counts = [f"{mount}.{key}" for key in ("objective", "seed_key", "ignore")]
        texts = [f"{key}: {node}" for key, node in _stored(ConfigStore.instance().repo)]
        try:
            for source in config.hydra.runtime.config_sources:
                if source.provider != "hydra" and source.schema != "structured":
                    texts += _files(_folder_of(source.schema, source.path))
        except (ConfigError, OSError, ImportError, TypeError, ValueError):
            mount = None
        self._readable = mount is not None and all(map(_is_readable, texts))
        for text in texts:
            digest.update(text.encode())
        self._digest = digest

    def of(self, overrides: Sequence[str]) -> str:
        """The hash for one run."""
        kept = [one for one in overrides if self._is_kept(identity.target_of(one))]
        # Hydra gives an interpolation to its jobs escaped: $\{now\:%H\}
        if not self._readable or not _is_readable("\0".join(kept).replace("\\", "")):
            return ""
        digest = self._digest.copy()
        digest.update("\0".join(kept).encode())
        return digest.hexdigest()[:16]

    def _is_kept(self, key: str) -> bool:
        if key in self._mount or any(identity.is_ignored(key, [one]) for one in self._counts):
            return not identity.is_ignored(key, ())
        return not identity.is_ignored(key, self._mount)


def _folder_of(kind: str, path: str) -> Traversable:
    """The folder of one of Hydra's sources of configs.

    Raises:
        ConfigError: it is something else.
    """
    if kind == "file":
        return Path(path)
    if kind == "pkg":
        return resources.files(path.replace("/", "."))
    raise ConfigError(f"{kind}://{path} is no folder")


def _files(folder: Traversable) -> Iterator[str]:
    """The name and the text of every config in a folder, and in those that links in it lead to, but Hydra's own.

    Raises:
        ConfigError: there are so many files that composing is faster.
    """
    waiting: list[tuple[str, Traversable, frozenset[str]]] = [("", folder, frozenset())]
    left = MOST_FILES
    while waiting:
        name, place, above = waiting.pop()
        real = os.path.realpath(str(place))
        if not place.is_dir() or real in above:  # a link in a circle
            continue
        entries = sorted(place.iterdir(), key=lambda entry: entry.name)
        left -= len(entries)
        if left < 0:
            raise ConfigError(f"{folder} holds more than {MOST_FILES:,} files")
        if name and {entry.name for entry in entries} & {RECORD_NAME, *SWEEP_FILES}:
            continue  # where the application's folder is that of its configs: what sweeps have left
        for entry in entries:
            path = f"{name}/{entry.name}"
            if entry.name.endswith((".yaml", ".yml")) and entry.is_file():
                yield f"{path}: {entry.read_bytes().decode(errors='replace')}"
            elif not entry.name.startswith(".") and path != "/hydra":
                waiting.append((path, entry, above | {real}))


def _is_readable(text: str) -> bool:
    return not _NUMBER.search(text) and all(_KNOWN.fullmatch(name) for name in _RESOLVER.findall(text))


def _stored(repo: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """What the application keeps in Hydra's ConfigStore."""
    for name in sorted(repo):
        entry = repo[name]
        if isinstance(entry, dict):
            if prefix or name != "hydra":
                yield from _stored(entry, f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}", OmegaConf.to_yaml(entry.node)
