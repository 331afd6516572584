"""`confusion.json`: the confusion matrix of a run, with a few images of its mistakes. Never imports torch."""

import base64
import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweeps import RecordError
from sweeps.record.files import atomic_write, read_json, to_json
from sweeps.record.typed import typed

NAME = "confusion.json"
PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Pair:
    """Images of class `true` that were classified as `guess`: how many, and the first of them as PNG files."""

    true: int
    guess: int
    count: int
    images: list[Any]  # bytes


@dataclass(frozen=True)
class Confusion:
    """Counts [true class][predicted class] of the images of `split` after `epoch`, and the most confused pairs."""

    split: str
    epoch: int
    labels: list[str]
    counts: list[list[int]]
    pairs: list[Pair]

    def __post_init__(self) -> None:
        classes = len(self.labels)
        if len(self.counts) != classes or any(len(row) != classes for row in self.counts):
            raise ValueError(f"{classes} labels do not fit its counts")
        for pair in self.pairs:
            if not (0 <= pair.true < classes and 0 <= pair.guess < classes):
                raise ValueError(f"a pair names class {pair.true} or {pair.guess} of {classes}")
            if not all(image.startswith(PNG) for image in pair.images):
                raise ValueError("an image is no PNG")

    def title(self, true: int, guess: int) -> str:
        """Images of one class that were classified as another, in words."""
        return f"{self.labels[true]} classified as {self.labels[guess]}"


def write(folder: Path, confusion: Confusion) -> None:
    """Replace the `confusion.json` of a run's folder; images are in it as base64."""
    content = dataclasses.asdict(confusion)
    for pair in content["pairs"]:
        pair["images"] = [base64.b64encode(image).decode() for image in pair["images"]]
    atomic_write(folder / NAME, to_json(content).encode(), durable=False)  # the weights make it again


def read(folder: Path) -> Confusion | None:
    """The confusion matrix of a run's folder; None where there is none.

    Raises:
        RecordError: the file is damaged.
    """
    try:
        content = read_json(folder / NAME)
        for pair in content["pairs"]:
            pair["images"] = [base64.b64decode(image, validate=True) for image in pair["images"]]
        return typed(Confusion, content)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecordError(f"{folder / NAME} is damaged ({type(error).__name__}: {error}); move it away") from error
