"""Where the files of a data set are: the user's folder, the system's, the cache, and at last the network.

A source is what `dataset.source` in a YAML describes. `load` gives everything there is; `splits.py` makes the splits.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sweeps import ConfigError, DataError
from sweeps.vision.data.idx import read_idx

# The names that MNIST gave to its four files and all its successors kept.
_MNIST_FILES = {
    "train_images": "train-images-idx3-ubyte",
    "train_labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}
# Torchvision's data sets whose images and labels are the arrays `data` and `targets`.
_TORCHVISION = ("CIFAR10", "CIFAR100", "FashionMNIST", "KMNIST", "MNIST")
_PACKAGE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class ImageSet:
    """The images of one split: uint8 [N, C, H, W] and int64 [N], on the same device."""

    images: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        assert self.images.dtype == torch.uint8
        assert self.images.ndim == 4
        assert self.labels.dtype == torch.int64
        assert self.labels.shape == self.images.shape[:1]

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device | str) -> "ImageSet":
        return ImageSet(self.images.to(device), self.labels.to(device))

    def at(self, positions: Tensor) -> "ImageSet":
        """The images at these positions, as a set of their own."""
        return ImageSet(self.images[positions], self.labels[positions])


class Source(Protocol):
    """Anything that finds and reads a data set."""

    def load(self, root: str | None) -> tuple[ImageSet, ImageSet, str]:
        """The training images, the test images and where they were found; `root` is looked at first."""


class _Files:
    """The search for a data set's files, which a subclass recognises and reads."""

    def __init__(self, name: str, torchvision: str | None, folders: Sequence[str], remedies: Sequence[str]) -> None:
        self._name = name
        self._torchvision = torchvision
        self._folders = tuple(folders)
        self._remedies = tuple(remedies)

    def _layouts(self, base: Path) -> list[Path]:
        return [base]

    def _is_there(self, place: Path) -> bool:
        raise NotImplementedError

    def _places(self, root: str | None) -> list[Path]:
        folders = (root, *self._folders) if root else self._folders
        bases = [*(Path(folder).expanduser().absolute() for folder in folders), cache_folder(self._name)]
        return [place for base in bases for place in self._layouts(base)]

    def _find(self, root: str | None) -> Path:
        """The first place that holds the files; they are downloaded where none does."""
        places = self._places(root)
        for place in places:
            if self._is_there(place):
                return place
        cache, failure = cache_folder(self._name), "There is no download for this data set."
        if self._torchvision is not None:
            try:
                download(self._torchvision, cache)
            except (OSError, RuntimeError) as error:
                failure = f"Torchvision's download into {cache} failed: {str(error).strip()}"
            else:
                for place in self._layouts(cache):
                    if self._is_there(place):
                        return place
                failure = f"{cache} is there, but without the files: remove it for a new download."
        looked_at = "".join(f"\n  {place}" for place in places)
        helps = "".join(f"\n  {remedy}" for remedy in self._remedies)
        raise DataError(f"{self._name} was not found. Looked at:{looked_at}\n{failure}\nWhat helps:{helps}")


class IdxFiles(_Files):
    """Four IDX files of grey images, plain or gzipped, in a folder or in torchvision's layout below it.

    Args:
        name: The data set's name: its folder in the cache, and in messages.
        files: Names without `.gz` of `train_images`, `train_labels`, `test_images`, `test_labels`; MNIST's if left out.
        sha256: Sums of the uncompressed contents under the same keys; without them only the format is checked.
        folders: Places to look at after the user's own.
        torchvision: The torchvision class that downloads the files; without it there is no download.
        packaged: Folder inside this package that holds the files; no other place is looked at then.
        remedies: What helps when the files are nowhere, one line each.
    """

    def __init__(
        self,
        name: str,
        files: Mapping[str, str] = _MNIST_FILES,
        sha256: Mapping[str, str] | None = None,
        folders: Sequence[str] = (),
        torchvision: str | None = None,
        packaged: str | None = None,
        remedies: Sequence[str] = (),
    ) -> None:
        for option, keys in (("files", files), ("sha256", sha256)):
            if keys is not None and set(keys) != set(_MNIST_FILES):
                raise ConfigError(
                    f"dataset.source.{option} has the keys {', '.join(sorted(keys))}; "
                    f"it needs {', '.join(_MNIST_FILES)}"
                )
        for file in files.values():
            if Path(file).name != file:
                raise ConfigError(f"dataset.source.files: {file} is invalid: a file's name, without a folder")
        if packaged and not (_PACKAGE / packaged).resolve().is_relative_to(_PACKAGE):
            raise ConfigError(
                f"dataset.source.packaged={packaged} is invalid: it lies outside of the package; name a folder of your "
                "own as dataset.root"
            )
        super().__init__(name, torchvision, folders, (*remedies, "dataset.root=FOLDER with the files"))
        self._files = dict(files)
        self._sha256 = dict(sha256 or {})
        self._packaged = packaged

    def load(self, root: str | None) -> tuple[ImageSet, ImageSet, str]:
        folder = self._find(root)
        paths = self._paths_in(folder)
        return self._read(paths, "train"), self._read(paths, "test"), str(folder)

    def _layouts(self, base: Path) -> list[Path]:
        return [base, base / self._torchvision / "raw"] if self._torchvision else [base]

    def _places(self, root: str | None) -> list[Path]:
        return [_PACKAGE / self._packaged] if self._packaged else super()._places(root)

    def _is_there(self, place: Path) -> bool:
        return bool(self._paths_in(place))

    def _paths_in(self, folder: Path) -> dict[str, Path]:
        """The four files in `folder`; empty if there is none of them."""
        paths = {}
        for key, name in self._files.items():
            for path in (folder / name, folder / f"{name}.gz"):  # the plain one needs no unpacking
                if path.is_file():
                    paths[key] = path
                    break
        if paths and len(paths) < len(self._files):
            lacking = ", ".join(name for key, name in self._files.items() if key not in paths)
            raise DataError(
                f"{folder}: holds a part of {self._name} but not {lacking} (plain or .gz); "
                f"add what is missing, or remove the rest so that another place is used"
            )
        return paths

    def _read(self, paths: Mapping[str, Path], split: str) -> ImageSet:
        images_path, labels_path = paths[f"{split}_images"], paths[f"{split}_labels"]
        images = read_idx(images_path, 3, self._sha256.get(f"{split}_images"))
        labels = read_idx(labels_path, 1, self._sha256.get(f"{split}_labels"))
        if len(images) != len(labels):
            raise DataError(
                f"{images_path}: holds {len(images)} images, but {labels_path} holds {len(labels)} labels; "
                f"there must be one an image: get both again, from the same place"
            )
        return ImageSet(torch.from_numpy(images).unsqueeze(1), torch.from_numpy(labels).long())


class TorchvisionSet(_Files):
    """A data set in a format of its own, read and verified by torchvision.

    Args:
        name: The data set's name: its folder in the cache, and in messages.
        torchvision: The torchvision class.
        contents: The file or folder by which a place that holds the data is known.
        folders: Places to look at after the user's own.
        remedies: What helps when the files are nowhere, one line each.
    """

    def __init__(
        self, name: str, torchvision: str, contents: str, folders: Sequence[str] = (), remedies: Sequence[str] = ()
    ) -> None:
        super().__init__(name, torchvision, folders, (*remedies, f"dataset.root=FOLDER with {contents} in it"))
        self._class_name = torchvision
        self._contents = contents

    def load(self, root: str | None) -> tuple[ImageSet, ImageSet, str]:
        place = self._find(root)
        return self._read(place, train=True), self._read(place, train=False), str(place)

    def _is_there(self, place: Path) -> bool:
        return (place / self._contents).exists()

    def _read(self, place: Path, *, train: bool) -> ImageSet:
        dataset_class, contents = torchvision_class(self._class_name), place / self._contents
        try:
            for path in (contents, *contents.rglob("*")):
                if path.exists() and not (path.is_file() or path.is_dir()):  # a pipe or a device has no end
                    raise ValueError(f"{path.name} is not a regular file")
            dataset = dataset_class(str(place), train=train, download=False)
            return _image_set(np.asarray(dataset.data), np.asarray(dataset.targets))
        except Exception as error:  # torchvision reports damage with whatever its reader stumbles over
            raise DataError(
                f"{contents}: torchvision cannot read {self._class_name} there "
                f"({' '.join(str(error).split())}); the files are damaged: remove them and get them again"
            ) from error


def _image_set(images: NDArray[Any], labels: NDArray[Any]) -> ImageSet:
    """From torchvision's [N, H, W] or [N, H, W, C] to [N, C, H, W]."""
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or len(images) != len(labels):
        raise ValueError(f"{len(labels)} labels, images of dtype {images.dtype} and shape {images.shape}")
    images = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
    return ImageSet(torch.from_numpy(np.ascontiguousarray(images)), torch.from_numpy(labels.astype(np.int64)))


def cache_folder(name: str) -> Path:
    """Where the data set `name` is downloaded to: `$XDG_CACHE_HOME/sweeps/NAME`, or below `~/.cache`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "sweeps" / name


def torchvision_class(name: str) -> Callable[..., Any]:
    """The torchvision data set of this name."""
    if name not in _TORCHVISION:
        raise ConfigError(f"dataset.source.torchvision={name} is not known; use one of {', '.join(_TORCHVISION)}")
    from torchvision import datasets  # takes seconds to import

    found: Callable[..., Any] = getattr(datasets, name)
    return found


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
