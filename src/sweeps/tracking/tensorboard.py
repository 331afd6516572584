"""Curves, images, the network and the confusion matrix for TensorBoard, written with tensorboardX."""

import logging
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from tensorboardX import SummaryWriter
from torch import Tensor, nn

from sweeps.records import RunDir
from sweeps.tracking.graph import add_graph
from sweeps.tracking.tracker import NullTracker

log = logging.getLogger(__name__)

# One chart for the curves that people compare, under TensorBoard's "Custom scalars"; the single curves stay in
# "Scalars". add_scalars would draw them together too, but as a run of its own for every curve.
LAYOUT = {
    "train and test": {
        figure: ["Multiline", [f"{figure}/(train|train_eval|val|val_bn|test|test_bn)$"]]
        for figure in ("loss", "accuracy")
    }
}
FIGURES = {"loss": "loss", "acc": "accuracy"}


class TensorBoardTracker(NullTracker):
    """Writes into the run's own `tensorboard/` folder, so that `tensorboard --logdir SWEEP` names runs by folder."""

    def __init__(self, *, images: int = 32, graph: bool = True, confusion: bool = True) -> None:
        self._num_images = images
        self._graph = graph
        self._confusion = confusion
        self._epoch = 0

    def open(self, run: RunDir, *, epochs_done: int) -> None:
        """Start an event file; on a resumed run TensorBoard is told to forget what came after the checkpoint."""
        self._epoch = epochs_done
        again = any(run.tensorboard.glob("events.*"))
        # tensorboardX names files by the second, and would overwrite one of the same second.
        self._writer = SummaryWriter(
            str(run.tensorboard),
            purge_step=(epochs_done and epochs_done + 1) if again else None,
            flush_secs=10,
            filename_suffix=f".{os.getpid()}-{time.time_ns()}",
        )
        self._writer.add_custom_scalars(LAYOUT)

    def network(self, network: nn.Module, images: Tensor) -> None:
        """Draw the first images and the network."""
        if self._num_images:
            self._writer.add_images("images/train", images[: self._num_images].cpu().numpy(), self._epoch)
        if self._graph:
            try:
                add_graph(self._writer, network, images[:1])
            except (
                Exception
            ) as error:  # symbolic tracing cannot follow every network, and a picture is no reason to stop
                log.warning("the network graph is left out: %s", error)

    def epoch(self, row: Mapping[str, Any]) -> None:
        """Add one point to every curve; the step is the epoch."""
        self._epoch = row["epoch"]
        for key, value in row.items():
            split, _, figure = key.rpartition("_")
            if figure in FIGURES:
                self._writer.add_scalar(f"{FIGURES[figure]}/{split}", value, self._epoch)
        for key in ("lr", "examples_per_second", "seconds"):
            self._writer.add_scalar(f"run/{key}", row[key], self._epoch)

    def confusion(self, counts: Sequence[Sequence[int]], labels: Sequence[str]) -> None:
        """Draw the confusion matrix."""
        if self._confusion:
            picture = draw_confusion(np.asarray(counts), labels)
            self._writer.add_image("confusion/test", picture, self._epoch, dataformats="HWC")

    def close(self) -> None:
        """Write what is still in memory."""
        self._writer.close()


def draw_confusion(counts: NDArray[np.int64], labels: Sequence[str]) -> NDArray[np.uint8]:
    """A picture of `counts` [true][predicted], shaded by the share of its row; uint8 [H, W, 3]."""
    cell, font = 46, ImageFont.load_default(size=12)
    margin = 12 + max(int(font.getlength(label)) for label in labels)
    classes = len(labels)
    picture = Image.new("RGB", (margin + classes * cell + 8, margin + classes * cell + 8), "white")
    draw = ImageDraw.Draw(picture)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    for row in range(classes):
        for column in range(classes):
            x, y, share = margin + column * cell, margin + row * cell, float(shares[row, column])
            shade = tuple(int(255 + share * (end - 255)) for end in (8, 48, 107))
            draw.rectangle((x, y, x + cell, y + cell), fill=shade, outline=(200, 200, 200))
            if counts[row, column]:
                ink = "white" if share > 0.5 else "black"
                draw.text((x + cell / 2, y + cell / 2), str(counts[row, column]), fill=ink, font=font, anchor="mm")
    across = Image.new("RGB", (classes * cell, margin), "white")  # names over the columns, read from below
    for index, label in enumerate(labels):
        draw.text((margin - 6, margin + (index + 0.5) * cell), label, fill="black", font=font, anchor="rm")
        strip = Image.new("RGB", (margin, cell), "white")
        ImageDraw.Draw(strip).text((6, cell / 2), label, fill="black", font=font, anchor="lm")
        across.paste(strip.rotate(90, expand=True), (index * cell, 0))
    picture.paste(across, (margin, 0))
    small = ImageFont.load_default(size=10)
    draw.text((margin - 4, margin - 8), "true / guess", fill="gray", font=small, anchor="rm")
    return np.asarray(picture)
