"""What is trained, on what and how: the parts of one run, as its loop uses them."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from sweeps.vision.data import Batches
from sweeps.vision.training.engine import Engine
from sweeps.vision.training.metrics import Totals
from sweeps.vision.training.schedules import Schedule

if TYPE_CHECKING:
    from sweeps.vision.training.cuda_graphs import Graphs


@dataclass
class Loaders:
    """The batches of each split; `val` is None where no images are held out."""

    train: Batches
    val: Batches | None
    test: Batches


@dataclass
class Training:
    """A network with its optimizer, its images and what is done with them. Nothing here makes the host wait."""

    network: nn.Module
    optimizer: Optimizer
    data: Loaders
    engine: Engine
    schedule: Schedule
    epochs: int
    classes: int
    clip_norm: float | None = None
    graphs: "Graphs | None" = field(default=None, init=False)  # of CUDA, where the steps are replayed from them

    def __post_init__(self) -> None:
        self._compiled = self.engine.forward_of(self.network)
        self._compiled_for: torch.Size | None = None

    def lr(self, epoch: int, step: int = 1) -> float:
        """The learning rate of a step of an epoch, both counted from 1: `optim.lr` times the schedule's factor."""
        steps = self.data.train.steps
        done = (epoch - 1) * steps + step - 1
        base: float = self.optimizer.defaults["lr"]
        return base * self.schedule(done / (self.epochs * steps))

    def forward(self, images: Tensor) -> Tensor:
        """The logits [B, classes] of `images` [B, C, H, W], in single precision whatever they were computed in."""
        if self._compiled_for is None:
            self._compiled_for = images.shape
        # An epoch's last batch is no reason to compile once more, for any shape.
        forward = self._compiled if images.shape == self._compiled_for else self.network
        with self.engine.autocast():
            logits: Tensor = forward(self.engine.images(images))
        return logits.float()

    def measure(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The logits and the mean loss [] of a batch, for evaluation; good until the next call."""
        if self.graphs is not None:
            return self.graphs.measure(images, labels)
        logits = self.forward(images)
        return logits, F.cross_entropy(logits, labels)

    def new_totals(self, *, keep_answers: bool = False) -> Totals:
        """Empty sums for one pass over a split."""
        return Totals(self.classes, self.engine.device, keep_answers=keep_answers)
