"""No road leads from a config, a record or a checkpoint to code that the allow-list does not name.

Every trick would make the file `marker`; a test passes where it is not there, and the trick met a sentence or was text.
"""

import contextlib
import copy
import importlib
import json
import pickle
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import hydra
import pytest
import torch
import yaml
from hydra import initialize_config_dir
from omegaconf.errors import OmegaConfBaseException

import sweeps
from sweeps.errors import ConfigError, RecordError, SweepsError
from sweeps.pruners import judge_of
from sweeps.record.records import RunDir
from sweeps.targets import make, named
from sweeps.trackers import make_trackers
from sweeps.vision.checks import check_settings
from sweeps.vision.config import conf_dir, plain, register_schema


def tricks(marker: Path) -> dict[str, object]:
    """What a node may hold that would touch `marker`, by name."""
    path = {"_target_": "pathlib.Path", "_args_": [str(marker)]}
    touch = {"_target_": "pathlib.Path.touch", "_args_": [path]}
    text = (
        "${oc.create:{_target_: pathlib.Path.touch, _args_: [{_target_: pathlib.Path, _args_: ['"
        + str(marker)
        + "']}]}}"
    )
    return {
        "a node": touch,
        "a partial node": {**touch, "_partial_": True},
        "a node in a list": [1, [touch]],
        "a node below a mapping": {"a": {"b": touch}},
        "a node below a target": {"_target_": "sweeps.vision.models.lenet_bn", "x": touch},
        "a node in _args_": {"_target_": "sweeps.vision.models.lenet_bn", "_args_": [touch]},
        "a node that is left alone": {"_target_": "sweeps.vision.models.lenet_bn", "_recursive_": False, "x": touch},
        "an interpolation": text,
        "an escaped interpolation": "\\" + text,
        "a twice escaped interpolation": "\\\\\\" + text,
        "text around it": f"see {text}",
        "escaped text around it": f"see \\{text}",
        "in a list": ["\\" + text],
        "below a mapping": {"a": [{"b": "\\" + text}]},
        "below a target": {"_target_": "sweeps.vision.models.lenet_bn", "x": "\\" + text},
        "in _args_": {"_target_": "sweeps.vision.models.lenet_bn", "_args_": ["\\" + text]},
        "as the target": {"_target_": "\\" + text},
        "as a target in two parts": {"_target_": "pathlib.\\${oc.decode:Path.touch}", "_args_": [path]},
        "as _partial_": {"_target_": "sweeps.vision.models.lenet_bn", "_partial_": "\\" + text},
        "as _convert_": {"_target_": "sweeps.vision.models.lenet_bn", "_convert_": "\\" + text},
    }


TRICKS = list(tricks(Path("marker")))
PLACES = [
    "model",
    "model.zzz",
    "model._args_",
    "optim",
    "optim.zzz",
    "schedule",
    "schedule.zzz",
    "dataset.source",
    "dataset.source.remedies",
    "dataset.source.folders",
    "dataset.name",
    "sweep.tracker",
    "sweep.tracker.zzz",
    "sweep.pruner",
    "sweep.pruner.zzz",
    "sweep.hooks.check",
    "sweep.hooks.cost",
    "sweep.hooks.panels",
    "augment.flip",
    "init",
]
COMPOSED = [
    "model.zzz",
    "optim.zzz",
    "schedule.zzz",
    "sweep.tracker",
    "sweep.pruner",
    "sweep.hooks.check",
    "dataset.source.remedies",
]


def nested(place: str, value: object) -> dict[str, object]:
    for key in reversed(place.split(".")):
        value = {key: value}
    assert isinstance(value, dict)
    return value


def do_as_a_plan_does(config):
    """Everything that `sweep.plan=true` makes of a resolved config, and a run before its first batch."""
    from sweeps.vision.build import check_parts, inspect

    own = config["sweep"]
    with contextlib.suppress(SweepsError):
        make_trackers(own["tracker"])
    with contextlib.suppress(SweepsError):
        judge_of(SimpleNamespace(settings={**own, "max_steps": 3}, setting_id="a", run_id="b"), Path())
    for hook in own["hooks"].values():
        with contextlib.suppress(SweepsError, LookupError, TypeError):  # the answer of a function that is allowed
            if hook:
                named(hook, "sweep.hooks.check", "sweeps.vision.task")({})
    check_settings(config)
    check_parts(config)
    inspect(config)


@pytest.fixture
def marker(tmp_path):
    path = tmp_path / "marker"
    yield path
    assert not path.exists(), "code has run"


@pytest.mark.parametrize("trick", TRICKS)
def test_a_config_folder_runs_nothing_through_a_node(tmp_path, marker, trick):
    """From YAML text through Hydra's composition to what a plan makes, for every node that is made."""
    register_schema()
    (tmp_path / "experiment").mkdir()
    composed = []
    for place in COMPOSED:  # a tenth of a second each
        content = nested(place, tricks(marker)[trick])
        text = "# @package _global_\n" + yaml.safe_dump(content)
        (tmp_path / "experiment" / "evil.yaml").write_text(text)
        overrides = ["dataset=fashion_mnist_mini", "experiment=evil", f"hydra.searchpath=[file://{tmp_path}]"]
        # A typed node, and an interpolation that is none, are answered by Hydra.
        with contextlib.suppress(SweepsError, OmegaConfBaseException, hydra.errors.HydraException):
            with initialize_config_dir(str(conf_dir()), version_base="1.3"):
                config = hydra.compose("config", overrides=overrides)
            composed.append(place)
            do_as_a_plan_does(plain(config))
        assert not marker.exists(), place
    assert set(COMPOSED) <= {*composed, "sweep.hooks.check", "sweep.tracker", "sweep.pruner"}


@pytest.mark.parametrize("trick", TRICKS)
def test_plain_data_runs_nothing_through_a_node(compose, marker, trick):
    """As a config is after its resolution: what is text then stays text."""
    for place in PLACES:
        config = compose("dataset=fashion_mnist_mini")
        *path, last = place.split(".")
        node = config
        for key in path:
            node = node[key]
        node[last] = tricks(marker)[trick]
        with contextlib.suppress(SweepsError):
            do_as_a_plan_does(config)
        assert not marker.exists(), place


@pytest.fixture(scope="module")
def trained(run_into, tmp_path_factory):
    """The folder of a run with weights."""
    folder = tmp_path_factory.mktemp("sweep") / "a"
    run_into(RunDir(folder), "trainer.epochs=1")
    return folder


@pytest.fixture
def colleague(trained, tmp_path):
    """Makes a folder with the weights of a run and a changed record."""

    def make(**config):
        record = json.loads((trained / "run.json").read_text())
        record["config"] |= config
        folder = tmp_path / "colleague"
        folder.mkdir(exist_ok=True)
        (folder / "run.json").write_text(json.dumps(record))
        (folder / "weights.safetensors").write_bytes((trained / "weights.safetensors").read_bytes())
        return folder

    return make


@pytest.mark.parametrize("trick", TRICKS)
def test_a_record_runs_nothing(trained, colleague, marker, trick):
    own = json.loads((trained / "run.json").read_text())["config"]["model"]
    value = tricks(marker)[trick]
    unescaped = json.loads(json.dumps(value).replace("\\\\", ""))
    for found in (value, unescaped):
        for model in (found, {**own, "x": found}, {**own, "_args_": [found]}, {**own, "_args_": found}):
            with pytest.raises(SweepsError):
                sweeps.load_model(colleague(model=model))
            assert not marker.exists()


def test_a_run_that_is_resumed_runs_nothing_of_its_record_and_checkpoint(run_into, tmp_path, marker):
    class Evil:
        def __reduce__(self):
            return Path.touch, (marker,)

    folder = RunDir(tmp_path / "run")
    run_into(folder, "trainer.epochs=1")
    record = json.loads(folder.record.read_text())
    record["status"] = "interrupted"
    record["config"] |= {key: tricks(marker)["in _args_"] for key in ("model", "optim", "schedule")}
    record["config"]["sweep"] |= {key: tricks(marker)["in _args_"] for key in ("tracker", "pruner", "hooks")}
    folder.record.write_text(json.dumps(record))
    for payload in (pickle.dumps(Evil()), pickle.dumps({"run_id": record["run_id"], "step": Evil()})):
        folder.checkpoint.write_bytes(payload)
        assert run_into(folder, "trainer.epochs=1").status == "completed"
    torch.save({"run_id": record["run_id"], "step": 1, "states": {"network": Evil()}, "random": {}}, folder.checkpoint)
    marker.unlink(missing_ok=True)
    record["status"] = "interrupted"
    folder.record.write_text(json.dumps(record))
    assert run_into(folder, "trainer.epochs=1").status == "completed"


COMMANDS = {
    "a run": ([], "schedule.zzz"),
    "a plan": (["-m", "sweep.plan=true"], "schedule.zzz"),
    "a sweep": (["-m", "seed=0"], "dataset.source.remedies"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("options", "place"), COMMANDS.values(), ids=COMMANDS.keys())
def test_a_command_line_runs_nothing_through_a_node(tmp_path, marker, options, place):
    value = tricks(marker)["an escaped interpolation"]
    override = f'++{place}=["{value}"]'
    command = [sys.executable, "-m", "sweeps", *options, override, "dataset=fashion_mnist_mini", "device=cpu"]
    small = ["dataset.limit=100", "dataset.test_limit=50", "trainer.epochs=1", "sweep/tracker=none", "sweep.name=x"]
    done = subprocess.run([*command, *small], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert "Traceback" not in done.stderr
    assert (done.returncode != 0) == (place == "schedule.zzz"), done.stderr


def test_text_that_looks_like_an_interpolation_is_text():
    node = {"_target_": "torch.optim.SGD", "_partial_": True, "lr": "${oc.env:HOME}", "x": {"y": ["\\${z}"]}}
    assert make(node, "optimizer").keywords == {"lr": "${oc.env:HOME}", "x": {"y": ["\\${z}"]}}


def test_a_node_is_made_from_the_inside_with_its_positional_arguments():
    node = {
        "_target_": "torch.optim.SGD",
        "_partial_": True,
        "_args_": [1, {"_target_": "torch.optim.Adam", "_partial_": True}],
    }
    partial = make(copy.deepcopy(node), "optimizer")
    assert partial.func is torch.optim.SGD
    assert partial.args[0] == 1
    assert partial.args[1].func is torch.optim.Adam


@pytest.mark.parametrize(
    ("target", "part"),
    [
        ("sweeps.trackers.mlflow.MlflowTracker", "network"),
        ("torchvision.models.resnet18", "tracker"),
        ("torch.optim.SGD", "network"),
        ("sweeps.vision.models.alexnet", "pruner"),
        ("sweeps.vision.cost.cost", "network"),
    ],
)
def test_a_name_on_one_list_is_none_where_another_part_is_asked_for(target, part):
    own = {"network": "sweeps.vision.models.lenet_bn", "tracker": "sweeps.trackers.Tracker"}.get(part, "os.getcwd")
    for node in ({"_target_": target}, {"_target_": own, "x": {"_target_": target}}):
        with pytest.raises(ConfigError, match="is not allowed here"):
            make(node, part)


CANNOT_BE_MADE = {
    "text": ("sweeps.vision.models.lenet_bn", "needs a _target_"),
    "a list": ([1], "needs a _target_"),
    "null": (None, "needs a _target_"),
    "nothing": ({}, "needs a _target_"),
    "unknown": ({"_target_": "sweeps.vision.models.lenet9"}, "no attribute 'lenet9'"),
    "a module": ({"_target_": "sweeps.vision.models.blocks"}, "a module, no function or class"),
    "unknown in torchvision": ({"_target_": "torchvision.models.nothing"}, "no attribute 'nothing'"),
    "an unknown argument": ({"_target_": "sweeps.vision.models.lenet_bn", "x": 1}, "unexpected keyword argument"),
    "an argument without a name": ({"_target_": "sweeps.vision.models.lenet_bn", 1: 1}, "cannot be made"),
    "not recursive": ({"_target_": "sweeps.vision.models.lenet_bn", "_recursive_": False}, "leave _recursive_"),
    "converted another way": ({"_target_": "sweeps.vision.models.lenet_bn", "_convert_": "none"}, "_convert_ out"),
    "partial by half": (
        {"_target_": "sweeps.vision.models.lenet_bn", "_partial_": "yes"},
        "_partial_ is true or false",
    ),
    "one positional argument": ({"_target_": "sweeps.vision.models.lenet_bn", "_args_": 1}, "_args_ a list"),
    "unknown weights": ({"_target_": "torchvision.models.resnet18", "weights": "NONE"}, "KeyError"),
}


@pytest.mark.parametrize(("node", "says"), CANNOT_BE_MADE.values(), ids=CANNOT_BE_MADE.keys())
def test_what_cannot_be_made_is_answered_with_a_sentence(node, says):
    with pytest.raises(ConfigError, match="cannot be made: ") as refused:
        make(node, "network")
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_node_that_is_nested_without_end_is_answered_with_a_sentence():
    node = {"_target_": "sweeps.vision.models.lenet_bn"}
    for _ in range(100_000):
        node = [node]
    with pytest.raises(ConfigError, match="nested too deep"):
        make({"_target_": "sweeps.vision.models.lenet_bn", "x": node}, "network")


@pytest.fixture
def mynets(tmp_path, monkeypatch):
    """A package of one's own, allowed in the environment; it imports what packages import."""
    (tmp_path / "mynets").mkdir()
    (tmp_path / "mynets" / "__init__.py").write_text("from mynets.nets import tiny\n")
    code = (
        "import os\nfrom pathlib import Path\nfrom torch.nn import Linear\n\ndef tiny(**options):\n    return 'tiny'\n"
    )
    (tmp_path / "mynets" / "nets.py").write_text(code)
    (tmp_path / "mynets" / "broken.py").write_text("import what_is_not_installed\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("SWEEPS_ALLOW_TARGETS", "mynets")
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "mynets"]:
        del sys.modules[name]


def test_a_package_that_is_allowed_gives_what_it_defines(mynets, marker, monkeypatch):
    assert make({"_target_": "mynets.tiny"}, "network") == "tiny"
    assert make({"_target_": "mynets.nets.tiny"}, "network") == "tiny"
    path = {"_target_": "mynets.nets.Path", "_args_": [str(marker)]}
    for node in (
        {"_target_": "mynets.nets.os.mkdir", "_args_": [str(marker)]},
        {"_target_": "mynets.nets.Path.touch", "_args_": [path]},
        {"_target_": "mynets.nets.tiny.__globals__.clear"},
        {"_target_": "mynets.nets.Linear", "_args_": [1, 1]},
    ):
        with pytest.raises(ConfigError, match=r"is not allowed|cannot be made"):
            make(node, "network")
    with pytest.raises(ConfigError, match="No module named 'what_is_not_installed'"):
        make({"_target_": "mynets.broken.tiny"}, "network")
    with pytest.raises(ConfigError, match=r"SWEEPS_ALLOW_TARGETS=mynets,mynets.nets.Linear"):
        make({"_target_": "mynets.nets.Linear"}, "network")
    monkeypatch.setenv("SWEEPS_ALLOW_TARGETS", "mynets,mynets.nets.Linear")
    assert make({"_target_": "mynets.nets.Linear", "_args_": [1, 1]}, "network").in_features == 1


ODD_RECORDS = {
    "no size": {"resize": {"channels": 1}},
    "no channels": {"resize": {"size": 28}},
    "no resize": {"resize": None},
    "size as text": {"resize": {"size": "x", "channels": 1}},
    "size without end": {"resize": {"size": float("inf"), "channels": 1}},
    "size as a mapping": {"resize": {"size": {}, "channels": 1}},
    "size as true": {"resize": {"size": True, "channels": 1}},
    "two channels": {"resize": {"size": 28, "channels": 2}},
    "labels as a number": {"dataset": {"labels": 7}},
    "labels as numbers": {"dataset": {"labels": [1, 2]}},
    "no data set": {"dataset": "x"},
    "model as text": {"model": "lenet"},
    "model as a list": {"model": [{"_target_": "sweeps.vision.models.lenet_bn"}]},
    "no model": {"model": None},
    "an empty model": {"model": {}},
    "an unknown network": {"model": {"_target_": "sweeps.vision.models.lenet9"}},
    "a module": {"model": {"_target_": "sweeps.vision.models.inspect"}},
    "a list of networks": {"model": {"_target_": "torchvision.models.list_models"}},
    "a partial": {"model": {"_target_": "sweeps.vision.models.lenet_bn", "_partial_": True}},
    "a bad interpolation": {"model": {"_target_": "sweeps.vision.models.lenet_bn", "num_classes": "${"}},
    "an impossible size": {"model": {"_target_": "torchvision.models.resnet18", "num_classes": -5}},
    "a giant": {"model": {"_target_": "torchvision.models.vgg11", "num_classes": 10**12}},
    "a nest": {
        "model": {"_target_": "sweeps.vision.models.lenet_bn", "x": {"_target_": "torch.optim.SGD", "params": 1}}
    },
}


@pytest.mark.parametrize("config", ODD_RECORDS.values(), ids=ODD_RECORDS.keys())
def test_a_record_that_describes_no_network_is_answered_with_a_sentence(colleague, config):
    with pytest.raises((RecordError, ConfigError)) as refused:
        sweeps.load_model(colleague(**config))
    assert len(str(refused.value)) < 600


def test_loading_a_run_downloads_nothing(colleague, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: pytest.fail("a connection was opened"))
    before = torch.hub.download_url_to_file
    with pytest.raises(RecordError, match=r"loading a run downloads nothing; .*torch.hub.load_state_dict_from_url"):
        sweeps.load_model(colleague(model={"_target_": "torchvision.models.resnet18", "weights": "DEFAULT"}))
    assert torch.hub.download_url_to_file is before


# hooks, which an application names in its config


@pytest.fixture
def application(tmp_path, monkeypatch):
    """The package `myapp` of a stranger, with a training function in `myapp.train`."""
    (tmp_path / "myapp").mkdir()
    (tmp_path / "myapp" / "__init__.py").write_text("")
    (tmp_path / "myapp" / "checks.py").write_text("import os\n\ndef check(cfg):\n    return {'a': 1}\n")
    code = "import os\nfrom os import system\nfrom helpers import near\nfrom myapp.checks import check\n"
    (tmp_path / "myapp" / "train.py").write_text(
        f"{code}\ndef cost(cfg):\n    return {{}}\n\ndef train(cfg):\n    pass\n"
    )
    (tmp_path / "helpers.py").write_text("def near(cfg):\n    return {}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.import_module("myapp.train")
    yield "myapp.train"
    for name in [name for name in sys.modules if name.partition(".")[0] in ("myapp", "helpers")]:
        del sys.modules[name]


@pytest.mark.parametrize("name", ["check", "cost", "myapp.checks.check", "myapp.train.cost"])
def test_a_hook_is_a_function_of_the_application(application, name):
    assert isinstance(named(name, "sweep.hooks.check", application)({}), dict)


@pytest.mark.parametrize(
    "name",
    [
        "system",
        "os",
        "near",
        "print",
        "nothing",
        ".",
        "myapp",
        "__builtins__",
        "os.system",
        "builtins.eval",
        "subprocess.run",
        "helpers.near",
        "myapp.nothing",
        "myapp.train.os.system",
        "myapp.checks.os.system",
        "myapp.checks.os",
        "myapp.checks.check.__globals__",
        "myapp.checks.check.__call__",
        "myapp.train.__loader__",
    ],
)
def test_a_hook_is_nothing_else(application, name):
    with pytest.raises(ConfigError, match=r"sweep\.hooks\.check="):
        named(name, "sweep.hooks.check", application)


def test_a_hook_of_another_package_is_allowed_by_the_environment(application, monkeypatch):
    monkeypatch.setenv("SWEEPS_ALLOW_TARGETS", "helpers")
    assert named("helpers.near", "sweep.hooks.check", application)({}) == {}


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "myapp.checks.check",
        "check",
        "sweeps.targets.make",
        "torch.load",
        "torchvision.models.resnet18",
        "sweeps.vision.cost.cost",
        "sweeps.trackers.mlflow.MlflowTracker",
    ],
)
def test_the_panels_that_a_record_names_run_nothing(trained, colleague, application, marker, name, monkeypatch):
    from sweeps.report.panels import panels_of

    called = []
    monkeypatch.setattr("os.system", called.append)
    monkeypatch.setattr("torch.hub.download_url_to_file", lambda url, *_, **__: called.append(url))
    own = json.loads((trained / "run.json").read_text())["config"]["sweep"]
    folder = colleague(sweep={**own, "hooks": {"check": None, "cost": None, "panels": name}})
    panels = list(panels_of([(folder, RunDir(folder).read())]))
    assert all(panel.title == "Panels left out" for panel in panels)
    assert re.search(r"is not allowed|name it in full", panels[0].content[0].text)
    assert not called
