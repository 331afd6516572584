"""A network's own arguments: they change the network, bad ones are refused, and the YAML lists them all."""

import inspect
import sys
from pathlib import Path

import pytest
import torch
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.utils import get_method
from omegaconf import OmegaConf
from torch import nn

from sweeps.errors import ConfigError
from sweeps.vision import models

CONF = Path(__file__).parents[3] / "conf"

# The size of image that each network is meant for.
RESIZE = {
    "alexnet": "px224",
    "vgg11": "px224",
    "nin": "px224",
    "googlenet": "px96",
    "lenet_bn": "native",
    "resnet18": "px96",
    "densenet": "px96",
}


def on_meta(name, **arguments):
    with torch.device("meta"):
        return getattr(models, name)(**arguments)


@pytest.mark.parametrize(
    ("name", "small", "large"),
    [
        ("vgg11", {"width_divisor": 8}, {"width_divisor": 2}),
        ("vgg11", {"blocks": [[1, 64], [1, 128]]}, {"blocks": [[2, 64], [2, 128]]}),
        ("nin", {"blocks": [[32, 5, 2, 0]]}, {"blocks": [[64, 5, 2, 0]]}),
        ("googlenet", {"stages": [[[64, 96, 128, 16, 32, 32]]]}, {"stages": [[[64, 96, 128, 16, 32, 32]] * 2]}),
        ("lenet_bn", {"channels": [6], "hidden": [20]}, {"channels": [12], "hidden": [20]}),
        ("lenet_bn", {"hidden": [10]}, {"hidden": [10, 10, 10]}),
        ("resnet18", {"stages": [[1, 64], [1, 128]]}, {"stages": [[1, 80], [1, 160]]}),
        ("densenet", {"growth_rate": 8}, {"growth_rate": 16}),
        ("densenet", {"blocks": [2, 2]}, {"blocks": [3, 3]}),
    ],
)
def test_own_arguments_change_the_network(name, small, large):
    small_network, large_network = on_meta(name, **small), on_meta(name, **large)
    size = inspect.signature(getattr(models, name)).parameters["image_size"].default
    images = torch.empty(2, 1, size, size, device="meta")
    assert small_network(images).shape == large_network(images).shape == (2, 10)
    few, many = (sum(p.numel() for p in network.parameters()) for network in (small_network, large_network))
    assert few < many


@pytest.mark.parametrize("name", ["alexnet", "vgg11", "nin"])
def test_dropout_is_the_rate_of_every_dropout_layer(name):
    rates = {layer.p for layer in on_meta(name, dropout=0.25).modules() if isinstance(layer, nn.Dropout)}
    assert rates == {0.25}


@pytest.mark.parametrize(
    ("name", "arguments", "value", "rule"),
    [
        ("alexnet", {"dropout": 1.0}, "model.dropout=1.0", "[0, 1)"),
        ("vgg11", {"dropout": -0.1}, "model.dropout=-0.1", "[0, 1)"),
        ("nin", {"dropout": "half"}, "model.dropout='half'", "[0, 1)"),
        ("vgg11", {"width_divisor": 0}, "model.width_divisor=0", "whole number >= 1"),
        ("vgg11", {"width_divisor": 3}, "model.width_divisor=3", "does not divide the 64 channels"),
        ("vgg11", {"blocks": []}, "model.blocks=[]", "not an empty one"),
        ("vgg11", {"blocks": [[1, 64], [2]]}, "model.blocks[1]=[2]", "[convolutions, channels]"),
        ("vgg11", {"blocks": "deep"}, "model.blocks='deep'", "must be a list"),
        ("nin", {"blocks": [[96, 11, 0, 0]]}, "model.blocks[0][2]=0", "(stride) must be a whole number >= 1"),
        ("nin", {"blocks": [[96, 11, 4, -1]]}, "model.blocks[0][3]=-1", "(padding) must be a whole number >= 0"),
        ("googlenet", {"stages": [[]]}, "model.stages[0]=[]", "not an empty one"),
        ("googlenet", {"stages": [[[64, 96, 128]]]}, "model.stages[0][0]=[64, 96, 128]", "k5_reduce"),
        ("lenet_bn", {"channels": [6, 1.5]}, "model.channels[1]=1.5", "whole number"),
        ("lenet_bn", {"hidden": [True]}, "model.hidden[0]=True", "whole number"),
        ("resnet18", {"stages": [[2, 64], 128]}, "model.stages[1]=128", "must be a list"),
        ("densenet", {"growth_rate": 0}, "model.growth_rate=0", "model.growth_rate=1"),
        ("densenet", {"blocks": [4, 0]}, "model.blocks[1]=0", "model.blocks[1]=1"),
    ],
)
def test_bad_own_arguments_name_value_and_rule(name, arguments, value, rule):
    with pytest.raises(ConfigError) as refusal:
        on_meta(name, **arguments)
    assert str(refusal.value).startswith(value)
    assert rule in str(refusal.value)


@pytest.mark.parametrize("name", RESIZE)
def test_yaml_lists_every_argument_with_the_builders_default(name):
    config = OmegaConf.load(CONF / "model" / f"{name}.yaml")
    arguments = OmegaConf.to_container(config.model, resolve=False)
    assert get_method(arguments.pop("_target_")) is getattr(models, name)
    wiring = {"in_channels": "${resize.channels}", "num_classes": "${dataset.classes}", "image_size": "${resize.size}"}
    assert {key: arguments.pop(key) for key in wiring} == wiring
    own = dict(list(inspect.signature(getattr(models, name)).parameters.items())[3:])
    defaults = {key: OmegaConf.to_container(OmegaConf.create([p.default]))[0] for key, p in own.items()}
    assert arguments == defaults
    assert config.defaults == [{"override /resize": RESIZE[name]}]


def test_all_models_means_the_seven_networks():
    with initialize_config_dir(str(CONF), version_base=None):
        options = GlobalHydra.instance().config_loader().get_group_options("model")
    assert set(options) == set(RESIZE)


def test_the_torchvision_yaml_builds_untrained_networks_for_colour_images():
    config = OmegaConf.load(CONF / "model" / "extra" / "torchvision.yaml")
    assert (config.resize.channels, config.model.weights) == (3, None)
    assert get_method(config.model._target_).__module__ == "torchvision.models.resnet"


def test_a_network_of_ones_own_costs_one_file(tmp_path, monkeypatch):
    """Shown in a second folder of the package, so that the checkout stays as it is."""
    (tmp_path / "mynet.py").write_text("def mynet(**arguments):\n    return arguments\n")
    monkeypatch.setattr(models, "__path__", [*models.__path__, str(tmp_path)])
    try:
        assert get_method("sweeps.vision.models.mynet.mynet")(image_size=28) == {"image_size": 28}
    finally:
        del sys.modules["sweeps.vision.models.mynet"], models.mynet
