"""Sums over one pass, kept on the device until somebody asks."""

from typing import NamedTuple

import torch
from torch import Tensor


class Means(NamedTuple):
    """Mean cross-entropy (nats) and share of right answers over the examples seen."""

    loss: float
    acc: float


class Totals:
    """Loss and confusion counts of one pass over a split.

    `add` only queues work on the device; `read` and `confusion` make the host wait for it.
    """

    def __init__(self, classes: int, device: torch.device) -> None:
        self.examples = 0
        self._classes = classes
        self._loss = torch.zeros((), device=device)
        self._counts = torch.zeros(classes * classes, dtype=torch.int64, device=device)

    def add(self, logits: Tensor, labels: Tensor, mean_loss: Tensor) -> None:
        """Add one batch: `logits` [B, classes], `labels` [B], `mean_loss` [] over the batch."""
        self.examples += len(labels)
        self._loss += mean_loss.detach() * len(labels)
        cells = labels * self._classes + logits.detach().argmax(dim=1)
        self._counts.scatter_add_(0, cells, torch.ones_like(cells))

    def read(self) -> Means:
        """The means so far. The host waits for the device here."""
        right = self._counts.view(self._classes, self._classes).diagonal().sum()
        loss, correct = torch.stack([self._loss, right.to(self._loss.dtype)]).tolist()
        return Means(loss / self.examples, correct / self.examples)

    def confusion(self) -> list[list[int]]:
        """Counts [true class][predicted class]. The host waits for the device here."""
        rows: list[list[int]] = self._counts.view(self._classes, self._classes).tolist()
        return rows
