"""What a network takes for what, with the images: made once, after the last epoch."""

import io
from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from sweeps.vision.confusion import Confusion, Pair
from sweeps.vision.data import ImageSet
from sweeps.vision.training.metrics import Totals

PAIRS = 6  # the most confused pairs that are kept
IMAGES = 8  # of each
LARGEST = 64  # pixels: larger images are kept as thumbnails


def confusion_of(totals: Totals, images: ImageSet, labels: Sequence[str], *, split: str, epoch: int) -> Confusion:
    """The confusion of a pass over `images` in their own order. The host waits for the device here."""
    counts = totals.confusion()
    guesses, true = totals.answers()
    cells = [(true_class, guess) for true_class in range(len(labels)) for guess in range(len(labels))]
    wrong = [cell for cell in cells if cell[0] != cell[1] and counts[cell[0]][cell[1]]]
    wrong.sort(key=lambda cell: -counts[cell[0]][cell[1]])
    pairs = []
    for true_class, guess in wrong[:PAIRS]:
        places = torch.nonzero((true == true_class) & (guesses == guess)).flatten()[:IMAGES]
        pictures = [_png(images.images[place]) for place in places.tolist()]
        pairs.append(Pair(true_class, guess, counts[true_class][guess], pictures))
    return Confusion(split, epoch, list(labels), counts, pairs)


def _png(image: Tensor) -> bytes:
    """A uint8 image [C, H, W] as a PNG file."""
    pixels = image.cpu().permute(1, 2, 0).squeeze(2).numpy()
    picture = Image.fromarray(pixels)
    picture.thumbnail((LARGEST, LARGEST))
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return file.getvalue()
