"""`confusion.json`: the confusion matrix of a run, with a few images of its mistakes. Never imports torch."""

import base64
import binascii
import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweeps import RecordError
from sweeps.record.files import atomic_write, read_json, to_json

NAME = "confusion.json"
PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Pair:
    """Images of class `true` that were classified as `guess`: how many, and the first of them as PNG files."""

    true: int
    guess: int
    count: int
    images: list[bytes]


@dataclass(frozen=True)
class Confusion:
    """Counts [true class][predicted class] of the images of `split` after `epoch`, and the most confused pairs."""

    split: str
    epoch: int
    labels: list[str]
    counts: list[list[int]]
    pairs: list[Pair]


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
        return _parsed(read_json(folder / NAME))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecordError(f"{folder / NAME} is damaged ({type(error).__name__}: {error}); move it away") from error


def _parsed(content: dict[str, Any]) -> Confusion:
    labels = [str(label) for label in content["labels"]]
    counts = [[_whole(count) for count in row] for row in content["counts"]]
    if any(len(row) != len(labels) for row in counts) or len(counts) != len(labels):
        raise ValueError(f"{len(labels)} labels do not fit its counts")
    pairs = []
    for pair in content["pairs"]:
        true, guess = _whole(pair["true"]), _whole(pair["guess"])
        if not (0 <= true < len(labels) and 0 <= guess < len(labels)):
            raise ValueError(f"a pair names class {true} or {guess} of {len(labels)}")
        pairs.append(Pair(true, guess, _whole(pair["count"]), [_png(image) for image in pair["images"]]))
    return Confusion(str(content["split"]), _whole(content["epoch"]), labels, counts, pairs)


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 2**63:
        raise ValueError(f"{str(value)[:60]} is not a whole number")
    return value


def _png(text: str) -> bytes:
    try:
        image = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"an image is no base64: {error}") from error
    if not image.startswith(PNG):
        raise ValueError("an image is no PNG")
    return image
