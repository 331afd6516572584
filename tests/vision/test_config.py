"""Every option of every group composes into a config that can work, and what is asked for last wins."""

import json

import hydra
import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import MissingMandatoryValue

from sweeps.config import PRUNERS, TRACKERS, SweepConfig, lookup, mount_of
from sweeps.vision.checks import check
from sweeps.vision.config import VisionConfig, conf_dir, plain

CONF = conf_dir()
GROUPS = {
    "augment",
    "budget",
    "dataset",
    "experiment",
    "model",
    "optim",
    "recipe",
    "resize",
    "schedule",
    "trainer",
}
OPTIONS = sorted(
    f"{group}={path.relative_to(CONF / group).with_suffix('').as_posix()}"
    for group in GROUPS - {"budget", "recipe"}  # chosen by what else is chosen
    for path in (CONF / group).rglob("*.yaml")
) + [f"sweep/{group}={name}" for group, names in (("pruner", PRUNERS), ("tracker", TRACKERS)) for name in names]

# model: (side of its images in pixels, SGD's learning rate, batch size), from the book.
RECIPES = {
    "alexnet": (224, 0.01, 128),
    "vgg11": (224, 0.1, 128),
    "nin": (224, 0.1, 128),
    "googlenet": (96, 0.1, 128),
    "lenet_bn": (28, 1.0, 256),
    "resnet18": (96, 0.05, 256),
    "densenet": (96, 0.1, 256),
}


def test_these_are_the_groups():
    assert {path.name for path in CONF.iterdir() if path.is_dir()} == GROUPS | {"hydra"}


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_composes_resolves_and_round_trips(compose, compose_all, option):
    cfg = compose_all(option)
    assert OmegaConf.get_type(cfg) is VisionConfig
    assert (mount_of(cfg), OmegaConf.get_type(cfg.sweep)) == ("sweep", SweepConfig)
    config = compose(option)
    assert json.loads(json.dumps(config)) == config
    check(config)


@pytest.mark.parametrize(("group", "needed"), [("optim", {"sgd", "adam", "adamw"}), ("trainer", {"default", "smoke"})])
def test_options_that_people_rely_on(group, needed):
    assert needed <= {path.stem for path in (CONF / group).glob("*.yaml")}


@pytest.mark.parametrize("model", RECIPES)
def test_a_model_brings_its_size_and_with_sgd_its_recipe(compose, model):
    size, lr, batch_size = RECIPES[model]
    config = compose(f"model={model}")
    assert config["model"]["_target_"] == f"sweeps.vision.models.{model}"
    assert (config["resize"]["size"], config["optim"]["lr"], config["trainer"]["batch_size"]) == (size, lr, batch_size)
    assert config["trainer"]["epochs"] == 10
    assert config["init"] == "xavier"
    assert (config["optim"]["momentum"], config["optim"]["weight_decay"]) == (0, 0)
    assert not any(config["augment"].values())
    assert config["schedule"]["_target_"] == "sweeps.vision.training.constant"
    arguments = [config["model"][key] for key in ("in_channels", "num_classes", "image_size")]
    assert arguments == [1, 10, size]


def test_every_recipe_is_for_a_model_and_an_optimizer_that_exist():
    names = {path.stem for path in (CONF / "recipe").glob("*_sgd.yaml")}
    assert names == {f"{model}_sgd" for model in RECIPES}


@pytest.mark.parametrize(("optim", "lr"), [("adam", 0.001), ("adamw", 0.001), ("rmsprop", 0.001)])
@pytest.mark.parametrize("model", ["lenet_bn", "alexnet"])
def test_another_optimizer_does_not_get_the_rate_of_sgd(compose, model, optim, lr):
    config = compose(f"model={model}", f"optim={optim}")
    assert config["optim"]["lr"] == lr
    assert config["trainer"]["batch_size"] == 128
    assert config["resize"]["size"] == RECIPES[model][0]


@pytest.mark.parametrize(
    ("overrides", "key", "value"),
    [
        (["model=lenet_bn", "optim.lr=0.5"], "optim.lr", 0.5),
        (["optim.lr=0.5", "model=alexnet"], "optim.lr", 0.5),
        (["model=lenet_bn", "trainer.batch_size=7"], "trainer.batch_size", 7),
        (["model=alexnet", "resize=px96"], "resize.size", 96),
        (["resize=native", "model=alexnet"], "model.image_size", 28),
        (["model=alexnet", "resize.size=160"], "model.image_size", 160),
        (["model=lenet_bn", "optim=adam", "optim.lr=3"], "optim.lr", 3),
        (["experiment=smoke", "trainer.epochs=3"], "trainer.epochs", 3),
        (["experiment=smoke", "trainer.batch_size=8"], "trainer.batch_size", 8),
        (["experiment=smoke", "dataset=cifar10"], "dataset.name", "cifar10"),
        (["experiment=smoke", "trainer=default"], "trainer.epochs", 10),
        (["experiment=smoke", "model=nin"], "resize.size", 224),
        (["model=extra/torchvision", "init=kaiming"], "init", "kaiming"),
        (["model=extra/torchvision", "resize.channels=1"], "resize.channels", 1),
    ],
)
def test_the_command_line_wins(compose, overrides, key, value):
    assert lookup(compose(*overrides), key) == value


def test_channels_and_classes_flow_from_the_images_into_the_network(compose):
    config = compose("dataset=cifar10", "model=lenet_bn")
    assert config["resize"] == {"size": 32, "channels": 3}
    assert (config["model"]["in_channels"], config["model"]["image_size"]) == (3, 32)
    assert compose("dataset.classes=7")["model"]["num_classes"] == 7


def test_the_number_of_test_images_follows_the_limit_unless_it_is_set(compose):
    assert compose("dataset.limit=100")["dataset"]["test_limit"] == 100
    assert compose("dataset.limit=100", "dataset.test_limit=null")["dataset"]["test_limit"] is None
    assert compose("dataset.test_limit=50")["dataset"]["limit"] is None


def messages(error: BaseException | None) -> str:
    """An error's text and that of its causes, as the command line prints them."""
    return "" if error is None else f"{error}\n{messages(error.__cause__)}"


@pytest.mark.parametrize(
    ("override", "fragments"),
    [
        ("model=lenet", ["model/lenet", "lenet_bn"]),
        ("optim=lion", ["optim/lion", "adamw"]),
        ("colour=red", ["colour"]),
        ("trainer.epoch=3", ["epoch", "TrainerConfig"]),
        ("optim.learning_rate=3", ["learning_rate", "+optim.learning_rate=3"]),
        ("model.width=3", ["width", "+model.width=3"]),
        ("trainer.epochs=many", ["many", "Integer"]),
        ("trainer.epochs=1.5", ["1.5", "Integer"]),
        ("trainer.save_weights=perhaps", ["perhaps", "bool"]),
        ("seed=one", ["one", "Integer"]),
        ("dataset.validation=some", ["some", "Float"]),
    ],
)
def test_unknown_names_and_wrong_types_are_refused_by_hydra(compose, override, fragments):
    with pytest.raises(HydraException) as refused:
        compose(override)
    for fragment in fragments:
        assert fragment in messages(refused.value)


def test_a_size_is_no_name_of_an_option(compose):
    with pytest.raises(ValueError, match="must be a string or a list"):  # hence resize=px96 and resize.size=96
        compose("resize=96")


def test_a_config_with_a_missing_value_does_not_resolve():
    with pytest.raises(MissingMandatoryValue, match="model"):
        plain(OmegaConf.create({"model": "???"}))


def test_glob_means_exactly_the_seven():
    with initialize_config_dir(str(CONF), version_base="1.3"):
        parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
        (override,) = parser.parse_overrides(["model=glob(*)"])
        assert set(override.sweep_string_iterator()) == set(RECIPES)


def test_smoke_is_small_and_keeps_nothing(compose):
    config = compose("experiment=smoke")
    assert config["dataset"]["name"] == "fashion_mnist_mini"
    assert config["dataset"]["limit"] <= 512
    assert config["trainer"]["epochs"] == 1
    assert not config["trainer"]["save_weights"]


def test_experiments_that_are_sweeps_name_what_they_sweep(compose_all):
    for experiment, params in {
        "book": {"model": "glob(*)"},
        "lr_grid": {"optim.lr": "0.01,0.03,0.1,0.3,1.0"},
    }.items():
        cfg = compose_all(f"experiment={experiment}")
        assert cfg.hydra.mode.name == "MULTIRUN"
        assert dict(cfg.hydra.sweeper.params) == params
    quickstart = compose_all("experiment=quickstart").hydra
    assert quickstart.mode.name == "MULTIRUN"
    assert quickstart.sweeper.params.model == "glob(*)"
    assert len(str(quickstart.sweeper.params["optim.lr"]).split(",")) == 2


def test_the_book_is_the_recipes_on_the_whole_set(compose):
    config = compose("experiment=book", "model=googlenet")
    assert config["dataset"]["name"] == "fashion_mnist"
    assert config["dataset"]["limit"] is None
    assert (config["optim"]["lr"], config["trainer"]["batch_size"], config["trainer"]["epochs"]) == (0.1, 128, 10)


@pytest.mark.parametrize("model", RECIPES)
def test_quickstart_uses_the_embedded_images_at_the_networks_own_size(compose, model):
    config = compose("experiment=quickstart", f"model={model}", "optim.lr=0.02")
    check(config)
    assert config["dataset"]["name"] == "fashion_mnist_mini"
    assert config["resize"]["size"] == RECIPES[model][0]
    assert config["optim"]["lr"] == 0.02


def test_a_torchvision_network_is_one_override_away(compose):
    config = compose("model=extra/torchvision", "model._target_=torchvision.models.mobilenet_v3_small")
    check(config)
    assert config["resize"] == {"size": 96, "channels": 3}
    assert config["init"] == "default"
    model = {"_target_": "torchvision.models.mobilenet_v3_small", "weights": None, "num_classes": 10}
    assert config["model"] == model


def test_a_run_lies_in_its_sweeps_folder_under_the_name_of_its_overrides(compose_all):
    cfg = compose_all("optim.lr=0.1", "sweep.name=study", "sweep.output=out", "model=nin", "sweep/tracker=none")
    assert cfg.hydra.run.dir == "out/study/model=nin,optim.lr=0.1"


def test_an_unnamed_sweep_is_named_by_date_and_time(compose_all):
    cfg = compose_all("model=nin")
    output, date, time, name = cfg.hydra.run.dir.split("/")
    assert [len(part) for part in date.split("-")] == [4, 2, 2]
    assert [len(part) for part in time.split("-")] == [2, 2, 2]
    assert (output, name) == ("multirun", "model=nin")


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([], ("test_acc", "max", "test")),
        (["dataset.validation=0.1"], ("val_acc", "max", "val")),
        (["sweep.objective.metric=test_loss", "dataset.validation=0.1"], ("test_loss", "min", "test")),
        (["sweep.objective.metric=val_loss", "dataset.validation=0.1"], ("val_loss", "min", "val")),
        (["sweep.objective.metric=train_eval_acc"], ("train_eval_acc", "max", "train")),
        (["experiment=quickstart"], ("test_bn_acc", "max", "test")),
    ],
)
def test_what_runs_are_ranked_by(compose, overrides, expected):
    objective = compose(*overrides)["sweep"]["objective"]
    assert (objective["metric"], objective["direction"], objective["split"]) == expected


HELD_OUT = "dataset.validation=0.1"


@pytest.mark.parametrize(
    ("overrides", "metric", "direction"),
    [
        ([], "train_loss_recent", "min"),
        ([HELD_OUT], "val_acc", "max"),
        ([HELD_OUT, "trainer.bn_reestimate=5"], "val_bn_acc", "max"),
        ([HELD_OUT, "trainer.report_every=0.25"], "train_loss_recent", "min"),
        (["sweep.pruner.metric=train_acc_recent"], "train_acc_recent", "max"),
    ],
)
@pytest.mark.parametrize("pruner", ["none", "halving", "median"])
def test_what_runs_are_pruned_by(compose, overrides, metric, direction, pruner):
    found = compose(f"sweep/pruner={pruner}", *overrides)["sweep"]["pruner"]
    assert (found["metric"], found["direction"]) == (metric, direction)


def test_a_step_is_an_epoch(compose):
    assert compose("trainer.epochs=7")["sweep"]["max_steps"] == 7


def test_hydras_own_config_of_a_run_is_not_part_of_it(compose):
    assert set(compose()) == set(VisionConfig.__dataclass_fields__)
    assert hydra.core.global_hydra.GlobalHydra.instance().is_initialized() is False
