"""Torchvision's data sets, and its downloads into the user's cache.

Torchvision takes seconds to import, so it is imported only where it is needed.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any

from sweeps import ConfigError, DataError


def cache_folder(name: str) -> Path:
    """Where the data set `name` is downloaded to: `$XDG_CACHE_HOME/sweeps/NAME`, or below `~/.cache`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "sweeps" / name


def torchvision_class(name: str) -> Callable[..., Any]:
    """The torchvision data set of this name: one whose images and labels are the arrays `data` and `targets`."""
    from torchvision import datasets

    known: dict[str, Callable[..., Any]] = {
        "CIFAR10": datasets.CIFAR10,
        "CIFAR100": datasets.CIFAR100,
        "FashionMNIST": datasets.FashionMNIST,
        "KMNIST": datasets.KMNIST,
        "MNIST": datasets.MNIST,
    }
    if name not in known:
        raise ConfigError(f"dataset.source.torchvision={name} is not known; use one of {', '.join(known)}")
    return known[name]


def download(name: str, folder: Path) -> None:
    """Let torchvision download the data set `name` into `folder`, which appears whole or not at all.

    Raises:
        OSError, RuntimeError: The download failed, or the cache cannot be written.
    """
    dataset = torchvision_class(name)
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    try:
        for train in (True, False):
            dataset(str(part), train=train, download=True)
        part.chmod(0o755)  # mkdtemp's folder is for the owner only; a cache may be shared
        try:
            part.rename(folder)
        except OSError:
            # Another process was faster: what it has put there is as good.
            if not folder.is_dir():
                raise
    except (EOFError, HTTPException) as error:
        raise RuntimeError(f"the connection broke: {error!r}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def missing(name: str, places: Sequence[Path], failure: str, remedies: Sequence[str]) -> DataError:
    """The error of a data set that is in none of its places."""
    lines = [f"{name} was not found. Looked at:"]
    lines += [f"  {place}" for place in places]
    lines.append(failure)
    lines.append("What helps:")
    lines += [f"  {remedy}" for remedy in remedies]
    return DataError("\n".join(lines))
