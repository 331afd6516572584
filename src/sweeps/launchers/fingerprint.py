"""A hash of what a run's config is composed from: with an equal one it need not be composed to be known.

Composing costs a tenth of a second; recognising 500 finished runs by their hashes costs a hundredth of that.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from sweeps.record import identity

# Resolvers whose value follows from the config, or is no part of a run's identity. Others may read the environment, or
# rest on code that has changed.
_KNOWN = re.compile(r"oc\.(?!env)[\w.]+|now|hydra|sweeps\.\w+|vision\.\w+")
_RESOLVER = re.compile(r"\$\{\s*([\w.]+)\s*:")
_NUMBER = re.compile(r"\$\{\s*hydra[:.]\s*job\.(num|id)")


class Fingerprint:
    """The hash of a run's overrides together with every file, stored config and version that their meaning rests on.

    Overrides of the engine's node, at `mount`, are left out: another number of retries makes no run unknown. Always
    empty, and so never equal, where a config reads what is no part of the hash, such as the environment.
    """

    def __init__(self, loader: ConfigLoader, config_name: str | None, mount: str | None) -> None:
        versions = [identity.RESULT_VERSION, *map(metadata.version, ("hydra-core", "omegaconf"))]
        digest = hashlib.sha256(repr((config_name, versions)).encode())
        self._mount = () if mount is None else (mount,)
        texts = [f"{key}: {node}" for key, node in _stored(ConfigStore.instance().repo)]
        for source in loader.get_search_path().get_path():
            folder = Path((source.path or "").removeprefix("file://"))
            if "://" not in str(source.path or "").removeprefix("file://") and folder.is_dir():
                files = (path for path in folder.rglob("*.y*ml") if "hydra" not in path.parts[len(folder.parts) :])
                texts += [path.name + path.read_text(encoding="utf-8", errors="replace") for path in sorted(files)]
        self._readable = mount is not None and all(map(_is_readable, texts))
        for text in texts:
            digest.update(text.encode())
        self._digest = digest

    def of(self, overrides: Sequence[str]) -> str:
        """The hash for one run."""
        kept = [one for one in overrides if not identity.is_ignored(identity.target_of(one), self._mount)]
        # Hydra gives an interpolation to its jobs escaped: $\{now\:%H\}
        if not self._readable or not _is_readable("\0".join(kept).replace("\\", "")):
            return ""
        digest = self._digest.copy()
        digest.update("\0".join(kept).encode())
        return digest.hexdigest()[:16]


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
