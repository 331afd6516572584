"""The graph that TensorBoard draws holds every layer, and drawing it leaves the network as it was."""

from collections import Counter

import pytest
import torch
import torchvision
from tensorboardX import SummaryWriter
from torch import nn

from sweeps.vision import models
from sweeps.vision.trackers import add_graph

from ..trackers.conftest import read

NETWORKS = {
    "lenet_bn": (models.lenet_bn, 28, {}),
    "nin": (models.nin, 67, {"blocks": [[8, 11, 4, 0], [8, 5, 1, 2], [8, 3, 1, 1]]}),
    "googlenet": (models.googlenet, 32, {"stages": [[[4, 4, 8, 2, 4, 4]], [[4, 4, 8, 2, 4, 4]]]}),
    "resnet18": (models.resnet18, 32, {"stages": [[1, 8], [2, 16]]}),
    "densenet": (models.densenet, 32, {"blocks": [2, 2], "growth_rate": 4}),
}


def graph_of(network, images, folder):
    writer = SummaryWriter(str(folder))
    add_graph(writer, network, images)
    writer.close()
    return list(read(folder).Graph().node)


def leaves(network):
    return [path.replace(".", "/") for path, module in network.named_modules() if not list(module.children())]


@pytest.mark.parametrize(("build", "size", "arguments"), NETWORKS.values(), ids=NETWORKS.keys())
def test_every_layer_is_a_node_that_is_joined_to_what_comes_before(tmp_path, build, size, arguments):
    network = build(image_size=size, **arguments)
    nodes = graph_of(network, torch.rand(1, 1, size, size), tmp_path)
    names = [node.name for node in nodes]
    assert set(leaves(network)) <= set(names)
    assert Counter(names).most_common(1)[0][1] == 1
    for node in nodes:
        assert set(node.input) <= set(names)
        assert node.input or node.op == "placeholder"
    ops = {node.name: node.op for node in nodes}
    for path, module in network.named_modules():
        if path.replace(".", "/") in leaves(network):
            assert ops[path.replace(".", "/")] == type(module).__name__


def test_shapes_are_written_at_the_nodes(tmp_path):
    network = models.lenet_bn()
    shapes = {
        node.name: [dim.size for dim in node.attr["_output_shapes"].list.shape[0].dim]
        for node in graph_of(network, torch.rand(1, 1, 28, 28), tmp_path)
    }
    assert shapes["0"] == [1, 6, 24, 24]
    assert shapes["15"] == [1, 10]


def test_a_layer_that_is_used_twice_has_two_nodes(tmp_path):
    network = torchvision.models.resnet18(num_classes=10)  # one ReLU for both halves of a block
    nodes = graph_of(network, torch.rand(1, 3, 32, 32), tmp_path)
    names = Counter(node.name for node in nodes)
    assert {name: count for name, count in names.items() if count > 1} == {}
    assert set(leaves(network)) <= names.keys()


@pytest.mark.parametrize("training", [True, False])
def test_the_network_stays_as_it_was(tmp_path, training):
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(4, 2))
    network.train(training)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    random = torch.get_rng_state()
    graph_of(network, torch.rand(1, 1, 3, 3, generator=torch.Generator().manual_seed(0)), tmp_path)
    assert torch.equal(torch.get_rng_state(), random)
    assert network.training is training
    assert all(module.training is training for module in network.modules())
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_network_that_cannot_be_followed_keeps_its_mode(tmp_path):
    class Branching(nn.Module):
        def forward(self, images):
            return images if images.sum() > 0 else -images

    network = Branching().train()
    writer = SummaryWriter(str(tmp_path))
    with pytest.raises(torch.fx.proxy.TraceError):
        add_graph(writer, network, torch.ones(1, 1, 2, 2))
    writer.close()
    assert network.training
