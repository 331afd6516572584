"""BatchNorm statistics measured anew for an evaluation.

The running statistics are an average over past weights, and at high constant rates they lag behind the present ones:
evaluation accuracy swings while the loss does not. An average over a few training batches with the present weights is
what BatchNorm was meant to use (Wu, Johnson 2021, "Rethinking 'Batch' in BatchNorm").
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from sweeps.vision.training.step import Step


@contextmanager
def reestimated(step: Step, batches: Iterable[tuple[Tensor, Tensor]], count: int) -> Iterator[None]:
    """Inside the block BatchNorm uses the mean statistics of `count` training batches; afterwards its own again.

    Dropout stays off, and no random number is drawn.
    """
    layers = [module for module in step.network.modules() if isinstance(module, _BatchNorm)]
    kept = [{name: buffer.clone() for name, buffer in layer.named_buffers()} for layer in layers]
    momenta = [layer.momentum for layer in layers]
    step.network.eval()
    for layer in layers:
        layer.reset_running_stats()
        layer.train()
    try:
        with torch.no_grad():
            for seen, (images, _) in enumerate(islice(batches, count if layers else 0), start=1):
                for layer in layers:
                    layer.momentum = 1 / seen  # a mean; None means one too, but makes the host wait for a count
                step.forward(images)
        for layer in layers:
            layer.eval()
        yield
    finally:
        for layer, buffers, momentum in zip(layers, kept, momenta, strict=True):
            layer.momentum = momentum
            for name, buffer in buffers.items():
                layer.get_buffer(name).copy_(buffer)


def has_batch_norm(network: nn.Module) -> bool:
    """Whether there is anything to estimate."""
    return any(isinstance(module, _BatchNorm) for module in network.modules())
