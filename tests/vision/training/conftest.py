"""Small trainings and small runs: what is interrupted, and what two runs must have in common."""

import pytest
import torch
from safetensors.torch import load_file

from sweeps.progress import Progress
from sweeps.vision.data import Batches, ImageSet
from sweeps.vision.outputs import WEIGHTS
from sweeps.vision.training import constant
from sweeps.vision.training.engine import Engine, Loaders, Training

TIMING = ("elapsed", "examples_per_second")

# Small runs that differ in what has to be restored: running statistics, dropout, the optimizer's state, augmentation.
NETS = {
    "batch normalisation": ("model=lenet_bn",),
    "dropout": ("model=nin", "resize.size=67", "model.blocks=[[8,11,4,0],[8,5,1,2],[8,3,1,1]]"),
    "momentum, augmentation and a schedule": (
        "model=lenet_bn",
        "optim.momentum=0.9",
        "optim.lr=0.1",
        "augment=alexnet",
        "schedule=one_cycle",
        "trainer.clip_norm=1",
    ),
    "adam and a validation split": ("model=lenet_bn", "optim=adam", "schedule=cosine", "dataset.validation=0.2"),
}


class StopAfter(Progress):
    """Ctrl-C once an epoch is over."""

    def __init__(self, epoch):
        self._epoch = epoch

    def report(self, row):
        if row["step"] == self._epoch:
            raise KeyboardInterrupt


def untimed(run_dir):
    """The metrics without what the clock says."""
    return [{key: value for key, value in row.items() if key not in TIMING} for row in run_dir.read_metrics()]


def assert_same_run(one, other):
    """Two finished runs have the same metrics and the same weights, to the last bit."""
    assert untimed(one) == untimed(other)
    assert same_weights(one, other)


def same_weights(one, other):
    """Whether two finished runs ended with the same weights and running statistics, to the last bit."""
    weights, others = load_file(one.path / WEIGHTS), load_file(other.path / WEIGHTS)
    assert weights.keys() == others.keys()
    return all(torch.equal(value, others[name]) for name, value in weights.items())


@pytest.fixture(params=NETS.values(), ids=NETS.keys())
def net(request):
    """The overrides of one of the small runs."""
    return request.param


def silent(*arguments):
    """An `OnBatch` that does nothing."""


def training_of(
    network, *, device="cpu", lr=0.1, momentum=0.0, images=None, size=28, count=32, batch_size=8, classes=10,
    schedule=None, epochs=1, clip_norm=None, test=None, **choices,
):  # fmt: skip
    """A training of `network` on `images`, uint8 [N, 1, size, size], or on `count` images of noise."""
    device = torch.device(device)
    plain = {"precision": "fp32", "memory_format": "auto", "compile": "none", "capture": "auto"}
    engine = Engine.choose(device, size=size, **plain | choices)
    engine.configure()
    network = engine.place(network)
    if images is None:
        generator = torch.Generator().manual_seed(3)
        noise = torch.randint(0, 256, (count, 1, size, size), dtype=torch.uint8, generator=generator)
        images = ImageSet(noise, torch.arange(count) % classes)
    batches = Batches(images.to(device), batch_size=batch_size, size=size, channels=1)
    tests = batches if test is None else Batches(test.to(device), batch_size=batch_size, size=size, channels=1)
    fused = {"fused": True} if device.type == "cuda" else {}
    optimizer = torch.optim.SGD(network.parameters(), lr=lr, momentum=momentum, **fused)
    data = Loaders(batches, None, tests)
    return Training(network, optimizer, data, engine, schedule or constant(), epochs, classes, clip_norm)
