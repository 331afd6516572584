"""Curves, settings, images and the network for TensorBoard, written with tensorboardX."""

import json
import logging
import os
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from tensorboardX import SummaryWriter
from torch import Tensor, nn

from sweeps.record.records import RunDir, RunRecord, Status
from sweeps.trackers import hparams
from sweeps.trackers.settings import columns_of
from sweeps.trackers.tracker import NullTracker
from sweeps.vision.confusion import Confusion
from sweeps.vision.graph import add_graph
from sweeps.vision.pictures import draw_confusion, draw_mistakes

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
FAILED = ".failed"  # ends the name of an event file that says nothing but that the run failed; a new try removes it


class TensorBoardTracker(NullTracker):
    """Writes into the run's own `tensorboard/` folder, so that `tensorboard --logdir SWEEP` names runs by folder."""

    def __init__(self, *, images: int = 32, graph: bool = True, confusion: bool = True) -> None:
        self._num_images = images
        self._graph = graph
        self._confusion = confusion
        self._epoch = 0
        self._writer: SummaryWriter | None = None

    def open(self, run: RunDir, record: RunRecord, *, epochs_done: int) -> None:
        """Start an event file; on a resumed run TensorBoard is told to forget what came after the checkpoint."""
        self._epoch = epochs_done
        self._folder = run.tensorboard
        for path in self._folder.glob(f"events.*{FAILED}"):
            path.unlink()
        again = any(self._folder.glob("events.*"))
        self._writer = self._new_writer(purge_step=(epochs_done and epochs_done + 1) if again else None)
        self._writer.add_custom_scalars(LAYOUT)
        hparams.add_start(self._writer, columns_of(record.config))
        if not again:
            self._writer.add_text("config", _as_text(record), 0)

    def _new_writer(self, *, purge_step: int | None = None, suffix: str = "") -> SummaryWriter:
        # tensorboardX names files by the second, and would overwrite one of the same second.
        name = f".{os.getpid()}-{time.time_ns()}{suffix}"
        return SummaryWriter(str(self._folder), purge_step=purge_step, flush_secs=10, filename_suffix=name)

    def network(self, network: nn.Module, images: Tensor) -> None:
        """Draw the first images and the network."""
        assert self._writer is not None
        if self._num_images:
            self._writer.add_images("images/train", images[: self._num_images].cpu().numpy(), self._epoch)
        if self._graph:
            try:
                add_graph(self._writer, network, images[:1])
            except Exception as error:  # symbolic tracing cannot follow every network
                log.warning("the network graph is left out: %s", error)

    def epoch(self, row: Mapping[str, Any]) -> None:
        """Add one point to every curve; the step is the epoch."""
        assert self._writer is not None
        self._epoch = row["epoch"]
        for key, value in row.items():
            split, _, figure = key.rpartition("_")
            if figure in FIGURES:
                self._writer.add_scalar(f"{FIGURES[figure]}/{split}", value, self._epoch)
        for key in ("lr", "examples_per_second", "seconds"):
            self._writer.add_scalar(f"run/{key}", row[key], self._epoch)

    def confusion(self, confusion: Confusion) -> None:
        """Draw the confusion matrix, and images that the network gets wrong."""
        if not self._confusion or self._writer is None:
            return
        picture = draw_confusion(np.asarray(confusion.counts), confusion.labels)
        self._writer.add_image(f"confusion/{confusion.split}", picture, self._epoch, dataformats="HWC")
        if confusion.pairs:
            picture = draw_mistakes(confusion)
            self._writer.add_image(f"mistakes/{confusion.split}", picture, self._epoch, dataformats="HWC")

    def close(self, outcome: Status) -> None:
        """End the row in the HParams table where the run has ended, and write what is still in memory."""
        if self._writer is None:
            return
        if outcome.is_finished:
            hparams.add_end(self._writer, outcome)
        self._writer.close()
        if outcome is Status.FAILED:  # in a file of its own: the run may be tried again
            writer = self._new_writer(suffix=FAILED)
            hparams.add_end(writer, outcome)
            writer.close()


def _as_text(record: RunRecord) -> str:
    """The config as Markdown: four spaces begin a block of code, in which nothing is markup."""
    lines = json.dumps(record.config, indent=2, default=str).splitlines()
    command = " ".join(record.overrides) or "the defaults"
    return f"Overrides:\n\n    {command}\n\nConfig:\n\n" + "\n".join(f"    {line}" for line in lines)
