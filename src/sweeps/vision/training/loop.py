"""The training loop, from top to bottom on one screen."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sweeps.progress import Progress
from sweeps.record.recording import DivergedError
from sweeps.vision.data import Batches
from sweeps.vision.training.metrics import Means, Totals
from sweeps.vision.training.reestimate import has_batch_norm, reestimated
from sweeps.vision.training.step import Step

KEPT = ("test", "val", "test_bn", "val_bn")  # passes whose answers are remembered image by image


@dataclass
class Loaders:
    """The batches of each split; `val` is None where no images are held out."""

    train: Batches
    val: Batches | None
    test: Batches


def run_epochs(
    step: Step,
    data: Loaders,
    *,
    epochs: range,
    seed: int,
    evaluate_train: bool,
    bn_reestimate: int = 0,
    new_totals: Callable[[], Totals],
    progress: Progress,
    after_batch: Callable[[int, int, int, Totals], None] | None = None,
) -> Iterator[tuple[dict[str, Any], dict[str, Totals]]]:
    """Train through `epochs` (counted from 1); yields each epoch's metrics row and the totals of its measurements.

    `train_loss` and `train_acc` are running averages over the epoch; all other figures are measured after it, in
    evaluation mode. With `bn_reestimate` the test and validation images are measured once more, as `test_bn` and
    `val_bn`, with BatchNorm statistics from so many training batches. `seconds` is the whole epoch,
    `examples_per_second` the training part alone.

    `after_batch` hears of every training batch: the epoch, how many are done of how many, and the totals so far; what
    it raises ends the run.

    Raises:
        DivergedError: a loss became NaN or infinite; noticed within a second.
    """
    splits = {"test": data.test, "val": data.val, "train_eval": data.train if evaluate_train else None}
    run_pass = Pass(new_totals, progress)
    for epoch in epochs:
        torch.manual_seed(epoch_seed(seed, epoch))  # dropout: a resumed run draws what an uninterrupted one does
        row: dict[str, Any] = {"epoch": epoch, "lr": step.lr}
        began = time.perf_counter()

        step.network.train()
        trained = run_pass("train", epoch, step.train, data.train.shuffled(epoch), data.train.steps, after_batch)
        row["train_loss"], row["train_acc"] = trained.read()
        row["examples_per_second"] = trained.examples / (time.perf_counter() - began)

        step.network.eval()
        measured: dict[str, Totals] = {}
        with torch.inference_mode():
            for split, batches in splits.items():
                if batches is None:
                    continue
                measured[split] = run_pass(split, epoch, step.evaluate, batches.in_order(), len(batches))
                row[f"{split}_loss"], row[f"{split}_acc"] = measured[split].read()
        if bn_reestimate:
            row |= _measure_reestimated(step, data, epoch, bn_reestimate, measured, run_pass)

        row["seconds"] = time.perf_counter() - began
        yield row, measured


def _measure_reestimated(
    step: Step, data: Loaders, epoch: int, count: int, measured: dict[str, Totals], run_pass: "Pass"
) -> dict[str, float]:
    """Loss and accuracy with new BatchNorm statistics, their totals added to `measured`.

    A network without BatchNorm has the same figures as before.
    """
    splits = {split: batches for split, batches in (("test", data.test), ("val", data.val)) if batches is not None}
    figures: dict[str, float] = {}
    with reestimated(step, data.train.shuffled(epoch), count), torch.inference_mode():
        for split, batches in splits.items():
            if has_batch_norm(step.network):
                found = run_pass(f"{split}_bn", epoch, step.evaluate, batches.in_order(), len(batches))
            else:
                found = measured[split]
            measured[f"{split}_bn"] = found
            figures[f"{split}_bn_loss"], figures[f"{split}_bn_acc"] = found.read()
    return figures


class Pass:
    """One pass over one split; the host waits for the device at its end alone."""

    def __init__(self, new_totals: Callable[[], Totals], progress: Progress) -> None:
        self._new_totals = new_totals
        self._progress = progress
        self._ticker = Ticker()

    def __call__(
        self,
        phase: str,
        epoch: int,
        work: Callable[[Tensor, Tensor, Totals], None],
        batches: Iterable[tuple[Tensor, Tensor]],
        count: int,
        after_batch: Callable[[int, int, int, Totals], None] | None = None,
    ) -> Totals:
        """Do `work` with each of the `count` batches."""
        totals, began = self._new_totals(), time.perf_counter()
        if phase in KEPT:
            totals.keep_answers()
        for done, (images, labels) in enumerate(batches, start=1):
            work(images, labels, totals)
            if self._ticker.due() and (means := totals.peek()) is not None:
                _finite(means, phase, epoch)
                rate = totals.examples / (time.perf_counter() - began)
                self._progress.batch(phase, epoch, done, count, means.loss, means.acc, rate)
            if after_batch is not None:
                after_batch(epoch, done, count, totals)
        _finite(totals.read(), phase, epoch)
        return totals


class Ticker:
    """Is it time? True at most once every `interval` seconds."""

    def __init__(self, interval: float = 1.0) -> None:
        self._interval = interval
        self._next = time.monotonic() + interval

    def due(self) -> bool:
        """Whether `interval` seconds have passed since this was last true."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + self._interval
        return True


def is_time(epoch: int, every: int, last: int) -> bool:
    """Whether something done `every` so many epochs (0: never) is due after `epoch`; never after the `last` one."""
    return every > 0 and epoch % every == 0 and epoch < last


def epoch_seed(seed: int, epoch: int) -> int:
    """A seed for what is drawn in one epoch; neighbouring seeds and epochs give unrelated ones."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> 1)


def _finite(means: Means, phase: str, epoch: int) -> None:
    if not math.isfinite(means.loss):
        raise DivergedError(f"the {phase} loss became {means.loss} in epoch {epoch}")
