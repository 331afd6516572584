"""From files to batches: finding, verifying, splitting, resizing and augmenting images."""

from sweeps.vision.data.augment import Augment
from sweeps.vision.data.batches import Batches
from sweeps.vision.data.resize import resize_exact
from sweeps.vision.data.sources import IdxFiles, ImageSet, Source, TorchvisionSet
from sweeps.vision.data.splits import Splits, load_splits

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
