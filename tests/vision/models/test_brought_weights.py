"""A network of one's own keeps the weights it brings along; the package's networks start as they always have."""

import logging

import pytest
import torch
from safetensors.torch import load_file

from sweeps.vision import task
from sweeps.vision.outputs import WEIGHTS

BUILDER = """
import torch
from sweeps.vision.models import lenet_bn

def pretrained(**arguments):
    network = lenet_bn(**arguments)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(0.25)
    return network
"""
FROZEN = ("model._target_=brought.pretrained", "optim.lr=1e-30", "trainer.epochs=1")


@pytest.fixture
def brought(tmp_path, monkeypatch):
    """A module outside the package whose network comes with weights of its own."""
    (tmp_path / "brought.py").write_text(BUILDER)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("SWEEPS_ALLOW_TARGETS", "brought")


@pytest.mark.usefixtures("brought")
def test_weights_that_a_network_brings_along_stay(do_run, folder):
    record = do_run(*FROZEN)
    assert record.config["init"] == "default"
    weights = load_file(folder.path / WEIGHTS)
    assert all(torch.all(weights[name] == 0.25) for name in ("0.weight", "0.bias"))


@pytest.mark.usefixtures("brought")
def test_new_weights_are_drawn_where_somebody_asks_for_them_and_the_log_says_so(do_run, folder, caplog):
    with caplog.at_level(logging.INFO, "sweeps"):
        do_run(*FROZEN, "init=xavier")
    assert load_file(folder.path / WEIGHTS)["0.weight"].std() > 0
    assert caplog.text.count("init=xavier draws new weights for brought.pretrained") == 1


def test_the_packages_networks_start_with_xavier_and_torchvisions_as_their_authors_say(compose):
    assert compose("model=nin")["init"] == "xavier"
    assert compose("model=extra/torchvision")["init"] == "default"


def test_what_is_the_default_may_be_named(do_run, monkeypatch):
    record = do_run("init=xavier")
    monkeypatch.setattr(task, "train_epoch", None)
    assert do_run() == record
