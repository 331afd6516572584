"""Work on batches recorded once and replayed as one CUDA graph.

A small network on a fast GPU waits for the host: launching a kernel takes longer than running it. A graph is launched
as a whole. The rules followed here are those of PyTorch's notes on CUDA semantics, "CUDA Graphs".
"""

import logging
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sweeps.vision.training.metrics import Totals
from sweeps.vision.training.watch import OnBatch

if TYPE_CHECKING:
    from sweeps.vision.training.engine import Training

log = logging.getLogger(__name__)

Work = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

_WARM_UP = 3  # batches: kernels are chosen, and the optimizer makes its state, outside of a graph
RECORDED_AFTER = _WARM_UP + 1  # batches

# Packages whose modules do the same kernels whatever the batch holds, and draw their random numbers on the device.
_KNOWN = ("torch", "torchvision", "sweeps")


def can_be_captured(network: nn.Module) -> bool:
    """Whether every module is of a package that is known to be safe to replay.

    A graph repeats the kernels it has recorded: a decision that Python takes anew for each batch would be frozen.
    """
    return all(type(module).__module__.partition(".")[0] in _KNOWN for module in network.modules())


def train_epoch(training: "Training", epoch: int, on_batch: OnBatch) -> Totals:
    """As `sweeps.vision.task.train_epoch`, with the forward and the backward pass replayed as one graph."""
    assert training.graphs is not None
    training.network.train()
    batches, optimizer, totals = training.data.train, training.optimizer, training.new_totals()
    for done, (images, labels) in enumerate(batches.shuffled(epoch), start=1):
        for group in optimizer.param_groups:
            group["lr"] = training.lr(epoch, done)
        logits, loss = training.graphs.gradients(images, labels)
        optimizer.step()
        totals.add(logits, labels, loss)
        on_batch("train", epoch, done, batches.steps, totals)
    return totals


class Graphs:
    """The recorded work: `gradients` of a batch, which are left in the parameters, and `measure`, its evaluation."""

    def __init__(self, training: "Training") -> None:
        self._training = training
        self.gradients = Captured(self._gradients, training.engine.memory_format)
        self.measure = Captured(self._measure, training.engine.memory_format)

    def _gradients(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        logits, loss = self._measure(images, labels)
        # A graph writes gradients where they were when it was recorded.
        self._training.optimizer.zero_grad(set_to_none=not self.gradients.is_recorded)
        loss.backward()
        if self._training.clip_norm is not None:
            nn.utils.clip_grad_norm_(self._training.network.parameters(), self._training.clip_norm)
        return logits.detach(), loss.detach()  # what is kept of the graph behind them would keep its memory

    def _measure(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        logits = self._training.forward(images)
        return logits, F.cross_entropy(logits, labels)


class Captured:
    """`work` on images [B, C, H, W] and labels [B]; from the fourth batch on one graph for batches of the first shape.

    The two tensors that `work` returns are overwritten by the next call. Batches of other shapes, such as the last one
    of an epoch, are worked on as if there were no graph, and so are all of them if `work` cannot be recorded. Nothing
    is computed that would not be computed without a graph.
    """

    def __init__(self, work: Work, memory_format: torch.memory_format) -> None:
        self._work = work
        self._memory_format = memory_format
        self._inputs: tuple[Tensor, Tensor] | None = None
        self._batches_until_recorded: float = _WARM_UP
        self._graph: torch.cuda.CUDAGraph | None = None
        self._stream = torch.cuda.Stream()

    @property
    def is_recorded(self) -> bool:
        """Whether there is a graph; the gradients that it writes must then stay where they are."""
        return self._graph is not None

    def __call__(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """What `work` returns for this batch."""
        if self._inputs is None:
            self._inputs = torch.empty_like(images, memory_format=self._memory_format), torch.empty_like(labels)
        if images.shape != self._inputs[0].shape:
            return self._without_search(images, labels)
        for kept, given in zip(self._inputs, (images, labels), strict=True):
            kept.copy_(given)
        if self._batches_until_recorded == 0:
            self._record(*self._inputs)
        if self._graph is None:
            self._batches_until_recorded -= 1
            return self._on_own_stream(*self._inputs)
        self._graph.replay()
        return self._results

    def _without_search(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Do not time every kernel there is for a shape that comes once an epoch: that takes seconds."""
        before = torch.backends.cudnn.benchmark
        torch.backends.cudnn.benchmark = False
        try:
            return self._work(images, labels)
        finally:
            torch.backends.cudnn.benchmark = before

    def _on_own_stream(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Warm up where the graph is recorded: libraries keep a workspace for every stream."""
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            results = self._work(images, labels)
        torch.cuda.current_stream().wait_stream(self._stream)
        return results

    def _record(self, images: Tensor, labels: Tensor) -> None:
        graph = torch.cuda.CUDAGraph()
        generator = torch.cuda.default_generators[images.device.index or 0]
        random_state = generator.clone_state()
        torch.cuda.synchronize()
        torch.cuda.empty_cache()  # a graph has memory of its own and cannot use what the allocator holds back
        try:
            with torch.cuda.graph(graph, stream=self._stream):
                self._results = self._work(images, labels)
        except RuntimeError as error:
            generator.graphsafe_set_state(random_state)  # the other one is lost: it counts as being recorded for ever
            log.warning(
                "the network cannot be recorded as a CUDA graph (%s); it is trained without one, as with "
                "trainer.capture=never",
                str(error).partition("\n")[0],
            )
            self._batches_until_recorded = math.inf
        else:
            self._graph, self._batches_until_recorded = graph, math.inf
