"""Where the files of a data set are: the user's folder, the system's, the cache, and at last the network.

A source is what `dataset.source` in a YAML describes. `load` gives everything there is; `splits.py` makes the splits.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from sweeps import ConfigError, DataError
from sweeps.vision.data.download import cache_folder, download, missing, torchvision_class
from sweeps.vision.data.idx import read_idx
from sweeps.vision.data.images import ImageSet

# The names that MNIST gave to its four files and all its successors kept.
_MNIST_FILES = {
    "train_images": "train-images-idx3-ubyte",
    "train_labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}
_PACKAGE = Path(__file__).resolve().parent


class Source(Protocol):
    """Anything that finds and reads a data set."""

    def load(self, root: str | None) -> tuple[ImageSet, ImageSet, str]:
        """The training images, the test images and where they were found; `root` is looked at first."""


class IdxFiles:
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
        self._name = name
        self._files = dict(files)
        self._sha256 = dict(sha256 or {})
        self._folders = tuple(folders)
        self._torchvision = torchvision
        self._packaged = packaged
        self._remedies = tuple(remedies)

    def load(self, root: str | None) -> tuple[ImageSet, ImageSet, str]:
        paths = self._find(root)
        train = self._read(paths, "train")
        test = self._read(paths, "test")
        return train, test, str(paths["train_images"].parent)

    def _find(self, root: str | None) -> dict[str, Path]:
        if self._packaged:
            places = [_PACKAGE / self._packaged]
        else:
            places = [place for base in _bases(root, self._folders, self._name) for place in self._layouts(base)]
        for place in places:
            if paths := self._paths_in(place):
                return paths
        failure = _try_download(self._torchvision, self._name)
        if failure is None:
            for place in self._layouts(cache_folder(self._name)):
                if paths := self._paths_in(place):
                    return paths
            failure = f"{cache_folder(self._name)} is there, but without the files: remove it for a new download."
        raise missing(self._name, places, failure, (*self._remedies, "dataset.root=FOLDER with the files"))

    def _layouts(self, base: Path) -> list[Path]:
        return [base, base / self._torchvision / "raw"] if self._torchvision else [base]

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


class TorchvisionSet:
    """A data set in a format of its own, read and verified by torchvision.

    Args:
        name: The data set's name: its folder in the cache, and in messages.
        torchvision: The torchvision class.
        contents: The file or folder by which a place that holds the data is known.
        folders: Places to look at after the user's own.
        remedies: What helps when the files are nowhere, one line each.
    """

    def __init__(
        self,
        name: str,
        torchvision: str,
        contents: str,
        folders: Sequence[str] = (),
        remedies: Sequence[str] = (),
    ) -> None:
        self._name = name
        self._torchvision = torchvision
        self._contents = contents
        self._folders = tuple(folders)
        self._remedies = tuple(remedies)

    def load(self, root: str | None) -> tuple[ImageSet, ImageSet, str]:
        places = _bases(root, self._folders, self._name)
        place = next((place for place in places if (place / self._contents).exists()), None)
        if place is None:
            failure = _try_download(self._torchvision, self._name)
            if failure is not None:
                remedy = f"dataset.root=FOLDER with {self._contents} in it"
                raise missing(self._name, places, failure, (*self._remedies, remedy))
            place = cache_folder(self._name)
        return self._read(place, train=True), self._read(place, train=False), str(place)

    def _read(self, place: Path, *, train: bool) -> ImageSet:
        dataset_class = torchvision_class(self._torchvision)
        try:
            _refuse_irregular(place / self._contents)
            dataset = dataset_class(str(place), train=train, download=False)
            return _image_set(np.asarray(dataset.data), np.asarray(dataset.targets))
        except Exception as error:  # torchvision reports damage with whatever its reader stumbles over
            raise DataError(
                f"{place / self._contents}: torchvision cannot read {self._torchvision} there "
                f"({' '.join(str(error).split())}); the files are damaged: remove them and get them again"
            ) from error


def _refuse_irregular(contents: Path) -> None:
    """Pipes and devices have no end."""
    for path in (contents, *contents.rglob("*")):
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise ValueError(f"{path.name} is not a regular file")


def _image_set(images: NDArray[Any], labels: NDArray[Any]) -> ImageSet:
    """From torchvision's [N, H, W] or [N, H, W, C] to [N, C, H, W]."""
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or len(images) != len(labels):
        raise ValueError(f"{len(labels)} labels, images of dtype {images.dtype} and shape {images.shape}")
    images = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
    return ImageSet(torch.from_numpy(np.ascontiguousarray(images)), torch.from_numpy(labels.astype(np.int64)))


def _bases(root: str | None, folders: Sequence[str], name: str) -> list[Path]:
    own = [root] if root else []
    return [*(Path(folder).expanduser().absolute() for folder in (*own, *folders)), cache_folder(name)]


def _try_download(torchvision: str | None, name: str) -> str | None:
    """Why the download failed; None where it did not."""
    if torchvision is None:
        return "There is no download for this data set."
    try:
        download(torchvision, cache_folder(name))
    except (OSError, RuntimeError) as error:
        return f"Torchvision's download into {cache_folder(name)} failed: {str(error).strip()}"
    return None
