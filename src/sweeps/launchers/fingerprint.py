"""A hash of what a cell's config is composed from: with an equal one it need not be composed to be known.

Composing costs a tenth of a second; recognising 500 finished cells by their hashes costs a hundredth of that.
"""

import hashlib
import re
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from hydra.core.config_loader import ConfigLoader

from sweeps.record import identity
from sweeps.vision import config as schema

HOW_IT_IS_DONE = re.compile(
    r"\+*(sweep|output|plan|repeats|zip|exclude|on_failure|stop_after|retries|timeout|on_mismatch|pruner(\.\w+)?)="
)

_ELSEWHERE = ("oc.env", "${hydra:")  # where a config reads what no file and no override says


class Composition:
    """The hash of a cell's overrides together with every file and version that their meaning rests on.

    Overrides that only say how a sweep is done are left out: another number of retries makes no cell unknown.
    Always empty, and so never equal, where a config reads what is no part of the hash: the environment, the time, the
    number of the run.
    """

    def __init__(self, loader: ConfigLoader, config_name: str | None) -> None:
        versions = [identity.RESULT_VERSION, *map(metadata.version, ("hydra-core", "omegaconf"))]
        digest = hashlib.sha256(repr((config_name, versions)).encode())
        self._readable = True
        sources = [Path(str(schema.__file__))]
        for source in loader.get_search_path().get_path():
            folder = Path((source.path or "").removeprefix("file://"))
            if "://" not in str(source.path or "").removeprefix("file://") and folder.is_dir():
                sources += sorted(
                    path for path in folder.rglob("*.y*ml") if "hydra" not in path.parts[len(folder.parts) :]
                )
        for path in sources:
            content = path.read_bytes()
            self._readable &= path.suffix == ".py" or not any(mark.encode() in content for mark in _ELSEWHERE)
            digest.update(path.name.encode() + content)
        self._digest = digest

    def of(self, overrides: Sequence[str]) -> str:
        """The hash for one cell."""
        kept = [override for override in overrides if not HOW_IT_IS_DONE.match(override)]
        plain = "\0".join(kept).replace("\\", "")  # Hydra gives an interpolation to its jobs escaped: $\{now\:%H\}
        if not self._readable or any(mark in plain for mark in (*_ELSEWHERE, "${now:")):
            return ""
        digest = self._digest.copy()
        digest.update("\0".join(kept).encode())
        return digest.hexdigest()[:16]
