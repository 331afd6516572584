"""Runs that are interrupted, and what two runs must have in common."""

import pytest
import torch
from safetensors.torch import load_file

from sweeps.progress import Progress

TIMING = ("seconds", "examples_per_second")

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

    def epoch(self, row):
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
    weights, others = load_file(one.weights), load_file(other.weights)
    assert weights.keys() == others.keys()
    return all(torch.equal(value, others[name]) for name, value in weights.items())


@pytest.fixture(params=NETS.values(), ids=NETS.keys())
def net(request):
    """The overrides of one of the small runs."""
    return request.param
