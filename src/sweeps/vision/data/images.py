"""Images and labels as they are kept: raw bytes, where the network is."""

from dataclasses import dataclass

import torch
from torch import Tensor


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


@dataclass(frozen=True)
class Splits:
    """What a run trains on, selects on and reports on."""

    train: ImageSet
    val: ImageSet | None
    test: ImageSet
    origin: str
    """Where the files were found, for the log and the record."""
