"""What is done with one batch, apart from when it is done."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from sweeps.vision.training.cuda_graphs import Captured
from sweeps.vision.training.engine import Engine
from sweeps.vision.training.metrics import Totals
from sweeps.vision.training.schedules import Schedule


class Step:
    """One training or evaluation step of one network. Nothing here makes the host wait for the device."""

    def __init__(
        self,
        network: nn.Module,
        optimizer: Optimizer,
        *,
        engine: Engine,
        schedule: Schedule,
        total_steps: int,
        clip_norm: float | None = None,
    ) -> None:
        self.network = network
        self.optimizer = optimizer
        self.steps = 0  # done so far, over all epochs
        self.total_steps = total_steps
        self.engine = engine
        self._compiled = engine.forward_of(network)
        self._compiled_for: torch.Size | None = None
        self._schedule = schedule
        self._clip_norm = clip_norm
        self._base_lr: float = optimizer.defaults["lr"]
        self._gradients = engine.captured(network, self._backward)
        self._measurement = engine.captured(network, self._measure)

    @property
    def lr(self) -> float:
        """The learning rate of the next step."""
        return self._base_lr * self._schedule(self.steps / self.total_steps)

    def train(self, images: Tensor, labels: Tensor, totals: Totals) -> None:
        """Move the weights once and count: `images` [B, C, H, W], `labels` [B]."""
        logits, loss = self.move(images, labels)
        totals.add(logits, labels, loss)

    def move(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Move the weights once; returns the logits [B, classes] and the mean loss [], good until the next step."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr
        logits, loss = self._gradients(images, labels)
        self.optimizer.step()
        self.steps += 1
        return logits, loss

    def evaluate(self, images: Tensor, labels: Tensor, totals: Totals) -> None:
        """Measure only; call it in evaluation and inference mode."""
        logits, loss = self._measurement(images, labels)
        totals.add(logits, labels, loss)

    def forward(self, images: Tensor) -> Tensor:
        """The logits [B, classes] of `images` [B, C, H, W], in single precision whatever they were computed in."""
        if self._compiled_for is None:
            self._compiled_for = images.shape
        # An epoch's last batch is no reason to compile once more, for any shape.
        forward = self._compiled if images.shape == self._compiled_for else self.network
        with self.engine.autocast():
            logits: Tensor = forward(self.engine.images(images))
        return logits.float()

    def _backward(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and mean loss of a batch; leaves the gradients in the parameters."""
        logits, loss = self._measure(images, labels)
        # A graph writes gradients where they were when it was recorded.
        is_recorded = isinstance(self._gradients, Captured) and self._gradients.is_recorded
        self.optimizer.zero_grad(set_to_none=not is_recorded)
        loss.backward()
        if self._clip_norm is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self._clip_norm)
        return logits.detach(), loss.detach()  # what is kept of the graph behind them would keep its memory

    def _measure(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.forward(images)
        return logits, F.cross_entropy(logits, labels)
