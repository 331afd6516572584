"""The splits of a run: checked against the config, limited, and with a part held out for selection.

Every choice of images depends on the data set alone, never on the seed, so that seeds compare on the same images.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from sweeps import ConfigError, DataError
from sweeps.vision.data.sources import ImageSet, Source


@dataclass(frozen=True)
class Splits:
    """What a run trains on, selects on and reports on; `origin` is where the files were found."""

    train: ImageSet
    val: ImageSet | None
    test: ImageSet
    origin: str


def load_splits(
    source: Source,
    *,
    root: str | None,
    name: str,
    classes: int,
    channels: int,
    size: int,
    limit: int | None = None,
    test_limit: int | None = None,
    validation: float = 0.0,
) -> Splits:
    """Load a data set and make its splits; the arguments are the keys of the `dataset` group.

    Raises:
        DataError: The files are missing, damaged or not what the config says.
        ConfigError: There are too few images for `limit`, `test_limit` or `validation`.
    """
    train, test, origin = source.load(root)
    for split, images in (("training", train), ("test", test)):
        _check(images, f"{name}, {split} images in {origin}", classes, channels, size)
    if limit is not None:
        if limit > len(train):
            raise ConfigError(
                f"dataset.limit={limit} is more than the {len(train)} training images of {name}; "
                f"use dataset.limit={len(train)} at most, or null for all"
            )
        train = _limit(train, limit, classes, "dataset.limit")
    # It follows `limit` unless it is set, so a number above what there is means all.
    if test_limit is not None and test_limit < len(test):
        test = _limit(test, test_limit, classes, "dataset.test_limit")
    val = None
    if validation:
        train, val = _hold_out(train, validation)
    return Splits(train, val, test, origin)


def _check(images: ImageSet, what: str, classes: int, channels: int, size: int) -> None:
    if images.images.shape[1:] != (channels, size, size):
        found = " x ".join(str(length) for length in images.images.shape[1:])
        raise DataError(
            f"{what}: they have {found} (channels x height x width), but {channels} x {size} x {size} is expected; "
            f"correct dataset.channels and dataset.size, or use the right files"
        )
    low, high = int(images.labels.min()), int(images.labels.max())
    if low < 0 or high >= classes:
        raise DataError(
            f"{what}: their labels reach from {low} to {high}, but 0 to {classes - 1} is expected; "
            f"correct dataset.classes, or use the right files"
        )


def _limit(images: ImageSet, limit: int, classes: int, key: str) -> ImageSet:
    """The first images of every class, as evenly as there are enough, in their old order."""
    if limit < classes:
        raise ConfigError(f"{key}={limit} is less than one image for each of {classes} classes; use {classes} or more")
    rank = _rank_in_class(images.labels)
    # One image of every class, then a second of every class, and so on: classes that run out leave it to the others.
    in_turn = (rank * classes + images.labels).argsort()
    return images.at(in_turn[:limit].sort().values)


def _hold_out(images: ImageSet, fraction: float) -> tuple[ImageSet, ImageSet]:
    """Hold out this fraction of every class, spread evenly over its images."""
    counts = images.labels.bincount()
    held_counts = (counts * fraction).round().long()
    if bool(((counts > 0) & ((held_counts == 0) | (held_counts == counts))).any()):
        fewest = int(counts[counts > 0].min())
        raise ConfigError(
            f"dataset.validation={fraction} of a class with {fewest} images leaves it empty on one side; "
            f"use a fraction nearer to 0.5, or a larger dataset.limit"
        )
    count, held_count = counts[images.labels], held_counts[images.labels]
    rank = _rank_in_class(images.labels)
    # Where the running number of held out images steps up: exactly `held_count` times in `count` images.
    held = (rank + 1) * held_count // count > rank * held_count // count
    return images.at((~held).nonzero().squeeze(1)), images.at(held.nonzero().squeeze(1))


def _rank_in_class(labels: Tensor) -> Tensor:
    """How many images of the same class come before each one."""
    by_class = labels.argsort(stable=True)
    counts = labels.bincount()
    starts = counts.cumsum(0) - counts
    rank = torch.empty_like(labels)
    rank[by_class] = torch.arange(len(labels)) - starts[labels[by_class]]
    return rank
