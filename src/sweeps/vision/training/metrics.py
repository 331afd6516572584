"""Sums over one pass, kept on the device until somebody asks."""

from typing import NamedTuple

import torch
from torch import Tensor


class Means(NamedTuple):
    """Mean cross-entropy (nats) and share of right answers over the examples seen."""

    loss: float
    acc: float


class Totals:
    """Loss and confusion counts of one pass over a split; with `keep_answers` the answer to each image too.

    `add`, `peek` and `begin_part` never make the host wait for the device; `read`, `read_part` and `confusion` do. Kept
    answers take two bytes an image, on the device.
    """

    def __init__(self, classes: int, device: torch.device, *, keep_answers: bool = False) -> None:
        self.examples = 0
        self._classes = classes
        self._loss = torch.zeros((), device=device)
        self._counts = torch.zeros(classes * classes, dtype=torch.int64, device=device)
        self._answers: list[tuple[Tensor, Tensor]] | None = [] if keep_answers else None
        self._part: tuple[Tensor, int] | None = None  # the sums, and the examples, before the present part
        self._on_its_way: tuple[Tensor, torch.cuda.Event, int] | None = None

    def add(self, logits: Tensor, labels: Tensor, mean_loss: Tensor) -> None:
        """Add one batch: `logits` [B, classes], `labels` [B], `mean_loss` [] over the batch."""
        self.examples += len(labels)
        self._loss += mean_loss.detach() * len(labels)
        predicted = logits.detach().argmax(dim=1)
        cells = labels * self._classes + predicted
        self._counts.scatter_add_(0, cells, torch.ones_like(cells))
        if self._answers is not None:
            kind = torch.uint8 if self._classes <= 256 else torch.int32
            self._answers.append((predicted.to(kind), labels.to(kind)))

    def read(self) -> Means:
        """The means so far. The host waits for the device here."""
        return _means(self._sums().tolist(), self.examples)

    def begin_part(self) -> None:
        """A new part of the pass begins."""
        self._part = self._sums(), self.examples

    def read_part(self) -> Means:
        """The means since `begin_part` was last called, or since the start. The host waits for the device here."""
        if self._part is None:
            return self.read()
        before, examples = self._part
        return _means((self._sums() - before).tolist(), self.examples - examples)

    def peek(self) -> Means | None:
        """The means so far without waiting: on CUDA those of the last call, or None where there are none yet."""
        if self._loss.device.type != "cuda":
            return self.read()
        before, means = self._on_its_way, None
        if before is not None:
            host, copied, examples = before
            if not copied.query():
                return None
            means = _means(host.tolist(), examples)
        host = torch.empty(2, pin_memory=True)
        host.copy_(self._sums(), non_blocking=True)
        copied = torch.cuda.Event()
        copied.record()
        self._on_its_way = host, copied, self.examples
        return means

    def confusion(self) -> list[list[int]]:
        """Counts [true class][predicted class]. The host waits for the device here."""
        rows: list[list[int]] = self._counts.view(self._classes, self._classes).tolist()
        return rows

    def answers(self) -> tuple[Tensor, Tensor]:
        """Predicted and true classes [examples] on the CPU, in the order of the pass; needs `keep_answers`."""
        assert self._answers
        predicted, labels = (torch.cat(parts).cpu() for parts in zip(*self._answers, strict=True))
        return predicted, labels

    def _sums(self) -> Tensor:
        right = self._counts.view(self._classes, self._classes).diagonal().sum()
        return torch.stack([self._loss, right.to(self._loss.dtype)])


def _means(sums: list[float], examples: int) -> Means:
    return Means(sums[0] / examples, sums[1] / examples)
