"""From files to batches: finding, verifying, splitting, resizing and augmenting images."""

from sweeps.data.augment import Augment
from sweeps.data.batches import Batches
from sweeps.data.images import ImageSet, Splits
from sweeps.data.resize import resize_exact
from sweeps.data.sources import IdxFiles, Source, TorchvisionSet
from sweeps.data.splits import load_splits

__all__ = [
    "Augment",
    "Batches",
    "IdxFiles",
    "ImageSet",
    "Source",
    "Splits",
    "TorchvisionSet",
    "load_splits",
    "resize_exact",
]
