"""BatchNorm statistics measured anew for an evaluation.

The running statistics are an average over past weights, and at high constant rates they lag behind the present ones:
evaluation accuracy swings while the loss does not. An average over a few training batches with the present weights is
what BatchNorm was meant to use (Wu, Johnson 2021, "Rethinking 'Batch' in BatchNorm").
"""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from sweeps.vision.training.engine import Training


@contextmanager
def reestimated(training: Training, epoch: int, count: int) -> Iterator[bool]:
    """Inside the block BatchNorm uses the mean statistics of `count` training batches; afterwards its own again.

    It is given whether there is any BatchNorm. Dropout stays off, and no random number is drawn.
    """
    network = training.network
    layers = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    kept = [{name: buffer.clone() for name, buffer in layer.named_buffers()} for layer in layers]
    momenta = [layer.momentum for layer in layers]
    network.eval()
    for layer in layers:
        layer.reset_running_stats()
        layer.train()
    try:
        with torch.no_grad():
            batches = training.data.train.shuffled(epoch)
            for seen, (images, _) in enumerate(islice(batches, count if layers else 0), start=1):
                for layer in layers:
                    layer.momentum = 1 / seen  # a mean; None means one too, but makes the host wait for a count
                training.forward(images)
        for layer in layers:
            layer.eval()
        yield bool(layers)
    finally:
        for layer, buffers, momentum in zip(layers, kept, momenta, strict=True):
            layer.momentum = momentum
            for name, buffer in buffers.items():
                layer.get_buffer(name).copy_(buffer)
