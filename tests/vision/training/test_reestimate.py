"""BatchNorm statistics measured anew: right while they are used, gone afterwards."""

import pytest
import torch
from torch import nn

from sweeps.vision.training.engine import Training
from sweeps.vision.training.reestimate import reestimated

from .conftest import training_of


@pytest.fixture
def training() -> Training:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Dropout(0.5), nn.Flatten(), nn.Linear(108, 2))
    return training_of(network, size=8, batch_size=4, count=20)


def test_the_statistics_are_those_of_the_batches_and_the_old_ones_come_back(training: Training) -> None:
    convolution, layer = training.network[0], training.network[1]
    layer.running_mean.fill_(7.0)
    before = {name: value.clone() for name, value in training.network.state_dict().items()}
    batches = [images for images, _ in training.data.train.shuffled(1)][:3]
    with reestimated(training, 1, 3) as has_batch_norm:
        assert has_batch_norm
        seen = torch.stack([convolution(images).mean(dim=(0, 2, 3)) for images in batches]).mean(dim=0)
        torch.testing.assert_close(layer.running_mean, seen)
        assert not any(module.training for module in training.network.modules())
    assert all(torch.equal(value, before[name]) for name, value in training.network.state_dict().items())
    assert layer.momentum == 0.1


def test_no_random_number_is_drawn(training: Training) -> None:
    state = torch.get_rng_state()
    with reestimated(training, 1, 1):
        pass
    assert torch.equal(torch.get_rng_state(), state)


def test_the_old_statistics_come_back_after_an_error(training: Training) -> None:
    before = training.network[1].running_mean.clone()
    with pytest.raises(RuntimeError, match="stop"), reestimated(training, 1, 1):
        raise RuntimeError("stop")
    assert torch.equal(training.network[1].running_mean, before)


def test_a_network_without_batch_norm_says_so() -> None:
    with reestimated(training_of(nn.Sequential(nn.Flatten(), nn.Linear(784, 10))), 1, 2) as has_batch_norm:
        assert not has_batch_norm
