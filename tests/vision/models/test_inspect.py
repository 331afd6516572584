"""What cannot be trained is invalid by name, with the layer that fails and a setting that works."""

import re

import pytest
import torch
import torchvision
from hydra.utils import instantiate
from torch import nn

from sweeps.errors import ConfigError
from sweeps.vision import models
from sweeps.vision.models import inspect_network


def ours(name, **arguments):
    return lambda size: getattr(models, name)(image_size=size, **arguments)


def theirs(name, **arguments):
    return lambda size: getattr(torchvision.models, name)(**{"num_classes": 10} | arguments)


def profile(build, *, channels=1, image_size=96, classes=10, batch_size=128, smallest_batch=96):
    return inspect_network(
        build,
        name="mynet",
        channels=channels,
        image_size=image_size,
        classes=classes,
        batch_size=batch_size,
        smallest_batch=smallest_batch,
    )


def refusal(build, **setting):
    with pytest.raises(ConfigError) as caught:
        profile(build, **setting)
    return str(caught.value)


def test_a_profile_counts_numbers_and_multiplications():
    def build(size):
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 10))

    counts = {"parameters": (9 * 4 + 4) + (144 * 10 + 10), "forward_macs": 36 * 4 * 9 + 144 * 10}
    assert profile(build, image_size=8) == counts


def test_inspection_touches_neither_the_random_state_nor_the_default_device():
    before = torch.get_rng_state()
    profile(ours("alexnet"), image_size=224)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.empty(1).device.type == "cpu"


@pytest.mark.parametrize(
    ("build", "size", "layer", "pixels", "minimum"),
    [
        (ours("alexnet"), 8, "Conv2d 1 of 5 (layer 0)", "8 x 8", 65),
        (ours("alexnet"), 32, "MaxPool2d 2 of 3 (layer 5)", "2 x 2", 65),
        (ours("alexnet"), 64, "MaxPool2d 3 of 3 (layer 12)", "2 x 2", 65),
        (ours("vgg11"), 28, "MaxPool2d 5 of 5 (layer 4.4)", "1 x 1", 32),
        (ours("vgg11", blocks=[[1, 8]] * 7), 96, "MaxPool2d 7 of 7 (layer 6.2)", "1 x 1", 128),
        (ours("nin"), 28, "MaxPool2d 2 of 3 (layer 3)", "2 x 2", 67),
        (ours("lenet_bn"), 8, "Conv2d 2 of 2 (layer 4)", "2 x 2", 16),
        (ours("densenet"), 28, "AvgPool2d 3 of 3 (layer 15.3)", "1 x 1", 29),
    ],
)
def test_too_small_images_name_the_layer_and_the_smallest_size_that_works(build, size, layer, pixels, minimum):
    message = refusal(build, image_size=size)
    start = f"resize.size={size} is too small for mynet: its {layer} would see {pixels} pixels (too few for its kernel"
    assert message.startswith(start)
    assert message.endswith(f"use resize.size>={minimum} or another network")
    assert profile(build, image_size=minimum)["parameters"] > 0
    assert f"resize.size={minimum - 1} is too small" in refusal(build, image_size=minimum - 1)


def test_the_smallest_size_is_found_for_networks_that_are_built_without_one():
    message = refusal(theirs("alexnet"), channels=3, image_size=32)
    assert "its MaxPool2d 3 of 3 (layer features.12) would see 1 x 1 pixels" in message
    assert "use resize.size>=63 or" in message
    assert profile(theirs("alexnet"), channels=3, image_size=63)["parameters"] == 57_044_810


def test_a_network_for_one_size_alone_is_answered_with_that_size():
    def fixed(size):
        return nn.Sequential(nn.Flatten(), nn.Linear(32 * 32, 10))

    assert profile(fixed, image_size=32)["parameters"] == 10_250
    small, large = refusal(fixed, image_size=28), refusal(fixed, image_size=96)
    assert "its Linear 1 of 1 (layer 1) cannot take an input of [96, 784]" in small
    assert "use resize.size=32 or" in small
    assert "resize.size=96 does not suit mynet" in large
    assert "use resize.size=32 or" in large


def test_a_network_for_a_range_of_sizes_is_not_said_to_work_with_all_larger_ones():
    def pooled(size):
        return nn.Sequential(nn.MaxPool2d(8), nn.Flatten(), nn.Linear(4 * 4, 10))

    assert profile(pooled, image_size=39)["parameters"] == 170
    assert "use resize.size=32 or" in refusal(pooled, image_size=28)


def test_a_batch_norm_that_fails_for_another_reason_is_not_blamed_on_the_batch():
    message = refusal(lambda size: nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm1d(4)))
    assert "its BatchNorm1d 1 of 1 (layer 1) would see 94 x 94 pixels (ValueError: expected 2D or 3D input" in message


def test_a_network_that_no_size_suits_is_refused_with_the_reason():
    message = refusal(lambda size: nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(8, 4, 3)))
    assert "its Conv2d 2 of 2 (layer 1) would see 94 x 94 pixels (RuntimeError: " in message
    assert "nor of any other usual size" in message


@pytest.mark.parametrize(
    ("batch_size", "problem", "remedy"),
    [
        (1, "trains on one image at a time", "use trainer.batch_size>=2"),
        (128, "leaves a last batch of 1 image", "use trainer.drop_last=true, or another trainer.batch_size"),
    ],
)
@pytest.mark.parametrize(
    ("name", "size", "layer"),
    [
        ("lenet_bn", 28, "BatchNorm1d 1 of 2 (layer 10)"),
        ("resnet18", 32, "BatchNorm2d 14 of 17 (layer 7.residual.1)"),
    ],
)
def test_one_image_in_front_of_batch_norm_is_refused(name, size, layer, batch_size, problem, remedy):
    message = refusal(ours(name), image_size=size, batch_size=batch_size, smallest_batch=1)
    assert message.startswith(f"trainer.batch_size={batch_size} {problem}, but mynet's {layer} would see one value")
    assert message.endswith(remedy)
    assert profile(ours(name), image_size=size, smallest_batch=2)["parameters"] > 0


def test_one_image_is_enough_where_batch_norm_sees_several_pixels_or_is_absent():
    assert profile(ours("resnet18"), image_size=96, smallest_batch=1) == profile(ours("resnet18"), image_size=96)
    assert profile(ours("vgg11"), image_size=32, batch_size=1, smallest_batch=1)["parameters"] > 0


def test_grey_images_for_a_colour_network_are_answered_with_three_channels():
    message = refusal(theirs("resnet18"))
    assert message.startswith("resize.channels=1 does not fit mynet: its Conv2d 1 of 20 (layer conv1) takes 3 channels")
    assert "use resize.channels=3, which repeats a grey image" in message
    assert refusal(ours("lenet_bn", in_channels=1), channels=3).endswith("use resize.channels=1")


@pytest.mark.parametrize(("name", "parameters"), [("resnet18", 11_181_642), ("mobilenet_v3_small", 1_528_106)])
def test_torchvision_networks_are_inspected_like_ours(name, parameters):
    assert profile(theirs(name), channels=3)["parameters"] == parameters


def test_more_than_one_output_is_refused():
    message = refusal(theirs("googlenet", aux_logits=True, init_weights=False), channels=3)
    assert message.startswith("mynet returns GoogLeNetOutputs in training")
    assert "+model.aux_logits=false" in message


def test_a_wrong_number_of_classes_is_refused():
    message = refusal(theirs("resnet18", num_classes=1000), channels=3)
    assert message.startswith("mynet returns logits [96, 1000]")
    assert message.endswith("use model.num_classes=10")


def test_an_unknown_argument_is_refused_with_the_builders_own_words():
    message = refusal(theirs("resnet18", depth=3), channels=3)
    assert re.match(r"mynet cannot be built \(TypeError: .*unexpected keyword argument 'depth'\)", message)


def test_a_builders_own_refusal_is_passed_on_also_through_hydra():
    message = refusal(lambda size: instantiate({"_target_": "sweeps.vision.models.vgg11", "width_divisor": 0}))
    assert message.startswith("model.width_divisor=0 must be a whole number")


def test_a_network_is_left_without_hooks():
    built = []

    def build(size):
        built.append(models.lenet_bn(image_size=size))
        return built[-1]

    profile(build, image_size=28)
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in built[0].modules())
