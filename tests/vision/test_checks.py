"""Values that cannot work and targets that must not be built are refused, and nothing else is."""

import copy

import pytest
from omegaconf import OmegaConf

from sweeps.errors import ConfigError
from sweeps.targets import check_targets
from sweeps.vision.checks import check, check_settings
from sweeps.vision.config import plain

NAN, INF = float("nan"), float("inf")


@pytest.fixture
def config(compose):
    return compose("dataset=fashion_mnist_mini")


def changed(config, key, value):
    """A copy of `config` with another value at a dotted key."""
    config = copy.deepcopy(config)
    *path, last = key.split(".")
    node = config
    for part in path:
        node = node[part]
    node[last] = value
    return config


# key, refused value, what the message says besides `key=value`: the rule or the way out
REFUSED = [
    ("optim.lr", 0, "optim.lr=0.1"),
    ("optim.lr", -0.1, "above 0"),
    ("optim.lr", NAN, "above 0"),
    ("optim.lr", INF, "above 0"),
    ("optim.lr", "fast", "a number"),
    ("optim.lr", True, "a number"),
    ("optim.lr", [0.1, 0.2], "a number"),
    ("optim.weight_decay", -1e-4, "at least 0"),
    ("optim.momentum", 1, "below 1"),
    ("optim.momentum", -0.1, "from 0"),
    ("trainer.epochs", 0, "trainer.epochs=1"),
    ("trainer.epochs", -3, "at least one epoch"),
    ("trainer.batch_size", 0, "trainer.batch_size=128"),
    ("trainer.batch_size", -1, "at least one image"),
    ("trainer.clip_norm", 0.0, "null is off"),
    ("trainer.clip_norm", -1.0, "above 0"),
    ("trainer.threads", 0, "null leaves the choice to torch"),
    ("dataset.limit", 0, "null takes all"),
    ("dataset.test_limit", -5, "null takes all"),
    ("dataset.validation", 1.0, "below 1"),
    ("dataset.validation", -0.1, "from 0"),
    ("dataset.validation", NAN, "below 1"),
    ("resize.size", 0, "resize.size=96"),
    ("resize.size", -96, "at least one pixel"),
    ("resize.channels", 2, "1 is grey and 3 is colour"),
    ("resize.channels", 0, "1 is grey and 3 is colour"),
    ("augment.flip", 1.5, "probability"),
    ("augment.flip", -0.5, "from 0 to 1"),
    ("augment.crop_padding", 0.7, "0.5"),
    ("augment.crop_padding", -0.1, "from 0"),
    ("augment.brightness", 2.0, "from 0 to 1"),
    ("augment.contrast", -1.0, "from 0 to 1"),
    ("augment.saturation", 1.1, "from 0 to 1"),
    ("augment.hue", 0.6, "0.5"),
    ("seed", -1, "from 0"),
    ("init", "zeros", "xavier, kaiming, default"),
    ("sweep.objective.metric", "accuracy", "test_acc"),
    ("init", "auto", "xavier, kaiming, default"),
    ("trainer.report_every", 2, "0.25"),
    ("trainer.report_every", 0.3, "whole number of reports"),
    ("sweep.pruner.metric", "test_acc", "chosen by it"),
]


@pytest.mark.parametrize(("key", "value", "fragment"), REFUSED)
def test_a_value_that_cannot_work_is_refused_by_name_rule_and_way_out(config, key, value, fragment):
    with pytest.raises(ConfigError) as refused:
        check_settings(changed(config, key, value))
    assert f"{key}={value}" in str(refused.value)
    assert fragment in str(refused.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("optim.lr", 1e-12),
        ("optim.lr", 1e30),  # it will diverge, and that is a result
        ("optim.momentum", 0.999),
        ("optim.weight_decay", 0),
        ("trainer.epochs", 1),
        ("trainer.batch_size", 1),
        ("trainer.clip_norm", 1e-6),
        ("trainer.clip_norm", None),
        ("dataset.limit", None),
        ("dataset.validation", 0.5),
        ("resize.size", 1),
        ("resize.channels", 3),
        ("augment.crop_padding", 0.5),
        ("augment.hue", 0.5),
        ("augment.flip", 1.0),
        ("init", "kaiming"),
        ("sweep.objective.metric", "train_loss"),
    ],
)
def test_the_ends_of_what_can_work_are_accepted(config, key, value):
    check_settings(changed(config, key, value))


def test_an_optimizer_needs_a_rate(config):
    del config["optim"]["lr"]
    with pytest.raises(ConfigError, match=r"optim\.lr is missing.*lr: 0\.1"):
        check_settings(config)


def test_every_class_needs_one_name(config):
    with pytest.raises(ConfigError, match=r"10 names for dataset\.classes=7.*name every class once"):
        check_settings(changed(config, "dataset.classes", 7))


@pytest.mark.parametrize("metric", ["val_acc", "val_loss"])
def test_a_figure_of_held_out_images_needs_held_out_images(config, metric):
    config = changed(config, "sweep.objective.metric", metric)
    with pytest.raises(ConfigError) as refused:
        check_settings(config)
    assert f"sweep.objective.metric={metric}" in str(refused.value)
    assert "dataset.validation" in str(refused.value)
    check_settings(changed(config, "dataset.validation", 0.1))


def test_a_seed_that_torch_would_not_take_is_refused(config):
    check_settings(changed(config, "seed", 2**63 - 1))
    with pytest.raises(ConfigError, match="seed="):
        check_settings(changed(config, "seed", 2**64))


def test_targets_are_part_of_the_check(config):
    with pytest.raises(ConfigError, match=r"_target_=os\.system is not allowed"):
        check_settings(changed(config, "schedule", {"_target_": "os.system"}))


SYSTEM = {"_target_": "os.system", "command": "true"}

DENIED = {
    "os.system": SYSTEM,
    "builtins.eval": {"_target_": "builtins.eval"},
    "builtins.exec": {"_target_": "builtins.exec"},
    "subprocess": {"_target_": "subprocess.Popen"},
    "a builtin without its module": {"_target_": "eval"},
    "hydra itself": {"_target_": "hydra.utils.call"},
    "import of anything": {"_target_": "hydra.utils.get_class", "path": "os.system"},
    "nothing": {"_target_": ""},
    "nested": {"model": {"head": {"_target_": "os.system"}}},
    "below an allowed one": {"_target_": "sweeps.vision.models.alexnet", "dropout": SYSTEM},
    "in a list": {"layers": [1, [2, SYSTEM]]},
    "in a tuple": {"layers": (SYSTEM,)},
    "in _args_": {"_target_": "sweeps.vision.models.alexnet", "_args_": [SYSTEM]},
    "partial": {"_target_": "os.system", "_partial_": True},
    "partial below": {"_target_": "torch.optim.SGD", "_partial_": True, "lr": {**SYSTEM, "_partial_": True}},
    "not recursive": {"_target_": "sweeps.vision.models.alexnet", "_recursive_": False, "x": SYSTEM},
    "through a module": {"_target_": "sweeps.vision.models.alexnet.torch.hub.load"},
    "through a module's module": {"_target_": "sweeps.vision.models.inspect.torch.load"},
    "a loader of torchvision": {"_target_": "torchvision.models.resnet.load_state_dict_from_url"},
    "a function of the package": {"_target_": "sweeps.record.records.atomic_write"},
    "another file of the models": {"_target_": "sweeps.vision.models.blocks.whole_number"},
    "a private name": {"_target_": "sweeps.vision.models._alexnet"},
    "a private module": {"_target_": "sweeps.vision.models._private._private"},
    "a dunder": {"_target_": "sweeps.vision.models.alexnet.__globals__"},
    "a dunder of torchvision": {"_target_": "torchvision.models.__loader__"},
    "torch.load": {"_target_": "torch.load"},
    "torch.hub": {"_target_": "torch.hub.load"},
    "an optimizer by another road": {"_target_": "torch.optim.sgd.SGD"},
    "no optimizer": {"_target_": "torch.optim.Optimizer"},
    "a longer name": {"_target_": "torch.optim.SGDx"},
    "a prefix in front": {"_target_": "evil.torch.optim.SGD"},
    "the package alone": {"_target_": "sweeps.vision.models"},
    "the package with a dot": {"_target_": "sweeps.vision.models."},
    "two dots": {"_target_": "sweeps.vision.models..alexnet"},
    "a neighbour's name": {"_target_": "sweeps.models_of_mine.alexnet"},
    "dots that are none": {"_target_": "sweepsxmodelsxalexnet"},
    "a newline behind": {"_target_": "sweeps.vision.models.alexnet\n"},
    "a space in front": {"_target_": " sweeps.vision.models.alexnet"},
    "a space within": {"_target_": "sweeps.vision.models. alexnet"},
    "capitals": {"_target_": "sweeps.vision.models.AlexNet"},
    "a number": {"_target_": 7},
    "a list": {"_target_": ["sweeps.vision.models.alexnet"]},
    "a mapping": {"_target_": {"_target_": "sweeps.vision.models.alexnet"}},
    "null": {"_target_": None},
    "true": {"_target_": True},
}


@pytest.mark.parametrize("node", DENIED.values(), ids=DENIED.keys())
def test_targets_off_the_list_are_refused(node, monkeypatch):
    monkeypatch.delenv("SWEEPS_ALLOW_TARGETS", raising=False)
    with pytest.raises(ConfigError, match=r"is (not allowed|invalid)"):
        check_targets(node)
    with pytest.raises(ConfigError, match=r"is (not allowed|invalid)"):
        check_targets({"model": {"_target_": "sweeps.vision.models.alexnet"}, "tracker": [{"deep": node}]})


@pytest.mark.parametrize(
    "target",
    ["${hidden}", "${parts.module}.${parts.name}", "${oc.env:SWEEPS_TEST_TARGET}", "${oc.decode:'os.system'}"],
)
def test_an_interpolation_hides_nothing(monkeypatch, target):
    monkeypatch.setenv("SWEEPS_TEST_TARGET", "os.system")
    node = {"hidden": "os.system", "parts": {"module": "os", "name": "system"}, "model": {"_target_": target}}
    with pytest.raises(ConfigError, match=r"_target_=os\.system is not allowed"):
        check_targets(plain(OmegaConf.create(node)))


def test_the_refusal_names_the_target_what_is_allowed_and_the_way_out():
    with pytest.raises(ConfigError) as refused:
        check_targets({"_target_": "mynets.tiny"})
    for fragment in (
        "_target_=mynets.tiny",
        "sweeps.vision.models",
        "torchvision.models",
        "SWEEPS_ALLOW_TARGETS=mynets",
    ):
        assert fragment in str(refused.value)


@pytest.mark.parametrize(
    "target",
    [
        "sweeps.vision.models.alexnet",
        "sweeps.vision.models.lenet_bn",
        "sweeps.vision.models.mynet.mynet",
        "sweeps.vision.data.IdxFiles",
        "sweeps.vision.data.TorchvisionSet",
        "sweeps.vision.training.constant",
        "sweeps.vision.training.cosine",
        "sweeps.vision.training.step",
        "sweeps.vision.training.one_cycle",
        "sweeps.trackers.Tracker",
        "sweeps.trackers.tensorboard.TensorBoardTracker",
        "torchvision.models.resnet18",
        "torchvision.models.mobilenet_v3_small",
        "torch.optim.SGD",
        "torch.optim.Adam",
        "torch.optim.AdamW",
        "torch.optim.RMSprop",
    ],
)
def test_what_a_config_may_build(target):
    check_targets({"model": {"_target_": target, "_args_": [{"_target_": target, "_partial_": True}]}})


def test_a_config_without_targets_has_none_to_refuse():
    check_targets({"a": [1, "os.system", None], "target": "os.system"})


def test_ones_own_code_is_allowed_in_the_environment_by_package(monkeypatch):
    node = {"a": {"_target_": "mynets.tiny"}, "b": {"_target_": "other.pkg.net"}}
    monkeypatch.setenv("SWEEPS_ALLOW_TARGETS", "mynets,other.pkg")
    check_targets(node)
    check_targets({"_target_": "sweeps.vision.models.alexnet"})
    for target in ("mynets_too.tiny", "other.net", "os.system", "amynets.tiny"):
        with pytest.raises(ConfigError, match=r"is (not allowed|invalid)"):
            check_targets({"_target_": target})


@pytest.mark.parametrize("value", ["", ",", ",,", "."])
def test_an_empty_allowance_allows_nothing(monkeypatch, value):
    monkeypatch.setenv("SWEEPS_ALLOW_TARGETS", value)
    with pytest.raises(ConfigError, match=r"is (not allowed|invalid)"):
        check_targets(SYSTEM)


def test_rungs_lie_where_there_are_reports(compose):
    check(compose("sweep/pruner=halving", "trainer.report_every=0.5", "sweep.pruner.min_resource=1.5"))
    with pytest.raises(
        ConfigError, match=r"min_resource=0\.5.* is invalid: nothing is reported then; use a multiple of"
    ):
        check(compose("sweep/pruner=halving", "sweep.pruner.min_resource=0.5"))


def test_within_epochs_only_recent_figures_are_known(compose):
    with pytest.raises(ConfigError, match=r"sweep\.pruner\.metric=val_acc is invalid with trainer\.report_every=0\.5"):
        check(compose("dataset.validation=0.1", "trainer.report_every=0.5", "sweep.pruner.metric=val_acc"))


def test_the_check_knows_the_size_and_the_cost_of_the_network(compose_all):
    assert check(compose_all("dataset=fashion_mnist_mini")) == {"parameters": 44_878, "forward_macs": 281_640}


def test_without_one_whole_batch_the_last_one_cannot_be_dropped(compose):
    check(compose("trainer.drop_last=true", "trainer.batch_size=100", "dataset.limit=100"))
    check(compose("trainer.batch_size=200", "dataset.limit=100"))
    with pytest.raises(ConfigError, match=r"dataset\.limit=100 images fill no batch; use trainer\.batch_size=100"):
        check(compose("trainer.drop_last=true", "trainer.batch_size=200", "dataset.limit=100"))
