"""The seven networks are the ones of the table: counts, cost, shapes, and a gradient for every parameter."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import pytest
import torch
from torch import nn

from sweeps.vision import models
from sweeps.vision.models.densenet import DenseLayer
from sweeps.vision.models.googlenet import Inception
from sweeps.vision.models.resnet18 import ResidualBlock


@dataclass(frozen=True)
class Expected:
    size: int
    parameters: int
    tensors: int
    mega_macs: float
    smaller: int
    larger: int


TABLE = {
    "alexnet": Expected(224, 46_764_746, 16, 938.1, smaller=65, larger=256),
    "vgg11": Expected(224, 43_093_322, 22, 512.2, smaller=32, larger=256),
    "nin": Expected(224, 1_992_166, 24, 762.3, smaller=67, larger=256),
    "googlenet": Expected(96, 5_977_530, 116, 276.1, smaller=8, larger=224),
    "lenet_bn": Expected(28, 44_878, 18, 0.282, smaller=16, larger=64),
    "resnet18": Expected(96, 11_178_378, 76, 318.7, smaller=8, larger=224),
    "densenet": Expected(96, 758_226, 84, 129.1, smaller=29, larger=224),
}
NETWORKS = sorted(TABLE)

# The layers in the order in which an image meets them; counts alone would not notice a missing or a moved activation.
LETTERS = {
    nn.Conv2d: "C",
    nn.Linear: "L",
    nn.BatchNorm2d: "B",
    nn.BatchNorm1d: "B",
    nn.ReLU: "R",
    nn.Sigmoid: "S",
    nn.MaxPool2d: "M",
    nn.AvgPool2d: "A",
    nn.AdaptiveAvgPool2d: "G",
    nn.Flatten: "F",
    nn.Dropout: "D",
    nn.Identity: "",
}
INCEPTION = "CR CRCR CRCR MCR "
RESIDUAL, HALVING = "CBRCB R ", "CBRCB C R "
ORDER = {
    "alexnet": "CRM CRM CR CR CRM F LRD LRD L",
    "vgg11": "CRM CRM CRCRM CRCRM CRCRM F LRD LRD L",
    "nin": "CRCRCRM CRCRCRM CRCRCRM D CRCRCR G F",
    "googlenet": "CRM CRCRM" + INCEPTION * 2 + "M" + INCEPTION * 5 + "M" + INCEPTION * 2 + "G F L",
    "lenet_bn": "CBSA CBSA F LBS LBS L",
    "resnet18": "CBRM" + RESIDUAL * 2 + (HALVING + RESIDUAL) * 3 + "G F L",
    "densenet": "CBRM" + "BRCA".join(["BRC" * 4] * 4) + "BR G F L",
}


def builder(name: str) -> Callable[..., nn.Module]:
    return getattr(models, name)


def on_meta(name: str, **arguments: object) -> nn.Module:
    with torch.device("meta"):
        return builder(name)(**arguments)


def shape_of(network: nn.Module, *images: int) -> list[int]:
    return list(network(torch.empty(*images, device="meta")).shape)


def test_these_are_all_the_networks():
    builders = {
        name for name in models.__all__ if inspect.signature(getattr(models, name)).parameters.get("num_classes")
    }
    assert builders == set(NETWORKS)


@pytest.mark.parametrize("name", NETWORKS)
def test_parameters_tensors_and_macs_are_the_tables(name):
    expected = TABLE[name]
    profile = models.inspect_network(
        lambda size: builder(name)(image_size=size),
        name=name,
        channels=1,
        image_size=expected.size,
        classes=10,
        batch_size=128,
        smallest_batch=128,
    )
    assert profile["parameters"] == expected.parameters
    assert len(list(on_meta(name).parameters())) == expected.tensors
    assert profile["forward_macs"] / 1e6 == pytest.approx(
        expected.mega_macs, abs=0.05 if expected.size > 28 else 0.0005
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_layers_come_in_the_papers_order(name):
    network, order = on_meta(name), []
    for layer in network.modules():
        if not list(layer.children()):
            layer.register_forward_hook(lambda layer, *_: order.append(LETTERS[type(layer)]))
    network(torch.empty(2, 1, TABLE[name].size, TABLE[name].size, device="meta"))
    assert "".join(order) == ORDER[name].replace(" ", "")


@pytest.mark.parametrize("mode", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("name", NETWORKS)
def test_one_logits_tensor_at_any_size_with_any_channels_and_classes(name, mode):
    expected = TABLE[name]
    for size in (expected.smaller, expected.size, expected.larger):
        for channels, classes in ((1, 10), (3, 10), (1, 7)):
            network = on_meta(name, in_channels=channels, image_size=size, num_classes=classes).train(mode)
            assert all(parameter.is_meta for parameter in network.parameters())
            assert shape_of(network, 2, channels, size, size) == [2, classes]


@pytest.mark.parametrize("name", NETWORKS)
def test_image_size_defaults_to_the_books(name):
    signature = inspect.signature(builder(name))
    assert signature.parameters["image_size"].default == TABLE[name].size
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in signature.parameters.values())
    assert list(signature.parameters)[:3] == ["in_channels", "num_classes", "image_size"]


@pytest.mark.parametrize("name", NETWORKS)
def test_every_parameter_receives_a_gradient(name):
    torch.manual_seed(0)
    size = TABLE[name].smaller
    network = builder(name)(image_size=size)
    models.initialize(network, "xavier")
    # Evaluation mode: in training, BatchNorm takes the gradient of the bias before it to exactly nothing.
    logits = network.eval()(torch.rand(4, 1, size, size))
    nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2, 3])).backward()
    silent = [
        path
        for path, parameter in network.named_parameters()
        if parameter.grad is None or not parameter.grad.isfinite().all() or not parameter.grad.any()
    ]
    assert silent == []


def test_head_widths_are_the_books():
    assert on_meta("alexnet")[14].in_features == 6400
    assert on_meta("vgg11")[6].in_features == 128 * 7 * 7
    assert next(layer for layer in on_meta("lenet_bn") if isinstance(layer, nn.Linear)).in_features == 256


def test_alexnet_halves_the_image_as_the_book_says():
    x, sizes = torch.empty(1, 1, 224, 224, device="meta"), [224]
    for layer in on_meta("alexnet")[:13]:
        x = layer(x)
        sizes += [x.shape[-1]] * (x.shape[-1] != sizes[-1])
    assert sizes == [224, 54, 26, 12, 5]


def test_vgg11_at_full_width():
    network = on_meta("vgg11", width_divisor=1)
    assert sum(parameter.numel() for parameter in network.parameters()) == 128_806_154


def test_inception_keeps_the_image_and_joins_four_branches():
    with torch.device("meta"):
        block = Inception(192, 64, 96, 128, 16, 32, 32)
    image = torch.empty(2, 192, 12, 12, device="meta")
    assert [list(branch(image).shape) for branch in block.branches] == [
        [2, channels, 12, 12] for channels in (64, 128, 32, 32)
    ]
    assert list(block(image).shape) == [2, 256, 12, 12]
    five = block.branches[2][2]
    assert (five.kernel_size, five.padding) == ((5, 5), (2, 2))


def test_shortcuts_change_shape_by_a_bare_convolution():
    blocks = [layer for layer in on_meta("resnet18") if isinstance(layer, ResidualBlock)]
    convolutions = [index for index, block in enumerate(blocks) if isinstance(block.shortcut, nn.Conv2d)]
    assert convolutions == [2, 4, 6]
    assert all(isinstance(block.shortcut, nn.Identity) for i, block in enumerate(blocks) if i not in convolutions)


def test_densenet_grows_and_halves_its_channels():
    network = on_meta("densenet")
    x, channels = torch.empty(2, 1, 96, 96, device="meta"), []
    for layer, following in pairwise(network):
        x = layer(x)
        if isinstance(layer, DenseLayer) and not isinstance(following, DenseLayer):
            channels.append((x.shape[1], x.shape[2]))
    assert channels == [(192, 24), (224, 12), (240, 6), (248, 3)]
