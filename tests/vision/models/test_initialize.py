"""Each scheme draws what its name says, and only for convolutions and linear layers."""

import math

import pytest
import torch
from torch import nn

from sweeps.vision.models import initialize, lenet_bn, resnet18


def weighted_layers(network):
    return [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]


def fans(layer):
    outputs, inputs = layer.weight.shape[:2]
    area = layer.weight[0, 0].numel()
    return inputs * area, outputs * area


def test_xavier_is_uniform_within_the_bound_with_zero_biases():
    torch.manual_seed(0)
    network = resnet18(stages=[[1, 64], [1, 128]])
    initialize(network, "xavier")
    for layer in weighted_layers(network):
        bound = math.sqrt(6 / sum(fans(layer)))
        assert 0.95 * bound < layer.weight.abs().max() <= bound
        assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
        assert not layer.bias.any()


def test_kaiming_is_normal_with_the_deviation_of_the_fan_in_and_zero_biases():
    torch.manual_seed(0)
    network = resnet18(stages=[[1, 64], [1, 128]])
    initialize(network, "kaiming")
    for layer in weighted_layers(network):
        deviation = math.sqrt(2 / fans(layer)[0])
        assert layer.weight.std().item() == pytest.approx(deviation, rel=0.05)
        assert layer.weight.abs().max() > 2.5 * deviation, "a uniform draw would end at 1.73 deviations"
        assert not layer.bias.any()


def test_default_leaves_the_network_and_the_random_state_as_they_were():
    network = lenet_bn()
    before = {path: value.clone() for path, value in network.state_dict().items()}
    random_state = torch.get_rng_state()
    initialize(network, "default")
    assert all(torch.equal(value, before[path]) for path, value in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random_state)
    assert any(layer.bias.any() for layer in weighted_layers(network))


@pytest.mark.parametrize("scheme", ["xavier", "kaiming"])
def test_other_layers_stay_as_built_and_biases_may_be_absent(scheme):
    network = nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Conv1d(4, 4, 1), nn.PReLU())
    with torch.no_grad():
        network[1].weight.fill_(3.0)
        network[1].bias.fill_(2.0)
    weights = [network[0].weight.clone(), network[2].weight.clone()]
    initialize(network, scheme)
    assert network[1].weight.eq(3.0).all()
    assert network[1].bias.eq(2.0).all()
    assert network[3].weight.eq(0.25).all()
    assert not torch.equal(network[0].weight, weights[0])
    assert not torch.equal(network[2].weight, weights[1])


@pytest.mark.parametrize("scheme", ["xavier", "kaiming"])
def test_the_seed_decides(scheme):
    def weight(seed):
        network = lenet_bn()
        torch.manual_seed(seed)
        initialize(network, scheme)
        return network[0].weight

    assert torch.equal(weight(1), weight(1))
    assert not torch.equal(weight(1), weight(2))
