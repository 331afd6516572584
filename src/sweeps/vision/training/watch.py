"""What is looked at between two batches: once a second the display and divergence, and the parts of an epoch."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import sweeps
from sweeps.vision.training.metrics import Means, Totals

# Called after each batch: name of the pass, epoch, batches done of how many, sums so far.
OnBatch = Callable[[str, int, int, int, Totals], None]

LOOK_EVERY = 1.0  # seconds
LAST_PART = 0.25  # of an epoch: without reports within epochs, "recent" figures are those of so much of its end


class Watch:
    """The `OnBatch` of a run; the host waits for the device where a part of an epoch is reported alone."""

    def __init__(self, run: sweeps.Run, config: Mapping[str, Any]) -> None:
        every = config["trainer"]["report_every"]
        self._run = run
        self._reports_parts = every < 1
        self._part = 1 / round(1 / every) if every < 1 else LAST_PART
        self._next_look = time.monotonic() + LOOK_EVERY
        self._began = time.perf_counter()

    def __call__(self, name: str, epoch: int, done: int, count: int, totals: Totals) -> None:
        """`done` of `count` batches of the pass `name` are through; `totals` is what they add up to.

        Raises:
            Diverged: the loss became NaN or infinite.
            StopRun: a pruner stops the run within its epoch.
        """
        if done == 1:
            self._began = time.perf_counter()
        if self._is_due() and (means := totals.peek()) is not None:
            _check_finite(means, name, epoch)
            rate = totals.examples / (time.perf_counter() - self._began)
            at = epoch - 1 + done / count if name == "train" else epoch
            text = f"{name} {done}/{count}, loss {means.loss:.4f}, acc {means.acc:.4f}, {rate:,.0f} examples/s"
            self._run.progress(at, text)
        if name == "train" and done < count and self._ends_part(done, count):
            if self._reports_parts:
                self._run.report(self.recent(totals), step=round(epoch - 1 + done / count, 6), checkpoint=False)
            totals.begin_part()

    def end(self, name: str, epoch: int, totals: Totals) -> Means:
        """The means of a whole pass. The host waits for the device here.

        Raises:
            Diverged: the loss became NaN or infinite.
        """
        means = totals.read()
        _check_finite(means, name, epoch)
        return means

    def recent(self, totals: Totals) -> dict[str, float]:
        """What a pruner compares: an average over a whole epoch says how it began. The host waits for the device."""
        means = totals.read_part()
        return {"train_loss_recent": means.loss, "train_acc_recent": means.acc}

    def _is_due(self) -> bool:
        now = time.monotonic()
        if now < self._next_look:
            return False
        self._next_look = now + LOOK_EVERY
        return True

    def _ends_part(self, done: int, count: int) -> bool:
        return math.floor(done / count / self._part + 1e-9) > math.floor((done - 1) / count / self._part + 1e-9)


def epoch_seed(seed: int, epoch: int) -> int:
    """A seed for what is drawn in one epoch; neighbouring seeds and epochs give unrelated ones."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> 1)


def _check_finite(means: Means, name: str, epoch: int) -> None:
    if not math.isfinite(means.loss):
        text = f"the {name} loss became {means.loss} in epoch {epoch}"
        raise sweeps.Diverged(text, "a smaller optim.lr, or trainer.clip_norm=1")
