"""A run that patience stops leaves the weights of its best epoch, interrupted or not; no other run pays for it."""

import functools

import pytest
import torch
from safetensors.torch import load_file

import sweeps
from sweeps.record.records import Failure, RunDir, Status
from sweeps.vision import outputs
from sweeps.vision.outputs import WEIGHTS

from .training.conftest import StopAfter, same_weights, untimed

PATIENT = ("sweep/pruner=patience", "sweep.pruner.patience=2")
PATIENCE = (*PATIENT, "trainer.epochs=30", "dataset.validation=0.2", "optim.lr=1.5")
WITHOUT = PATIENCE[2:]


@pytest.fixture(scope="session")
def stopped(run_into, tmp_path_factory):
    """A run that patience has stopped, in one go: its folder."""

    @functools.cache
    def do():
        folder = RunDir(tmp_path_factory.mktemp("stopped") / "run")
        run_into(folder, *PATIENCE)
        return folder

    return do


def best_epoch(folder):
    """The first of the epochs with the best accuracy on the held-out images."""
    return max(folder.read_metrics(), key=lambda row: (row["val_acc"], -row["step"]))["step"]


def test_the_weights_are_those_of_the_best_epoch(stopped, run_into, tmp_path):
    record = stopped().read()
    best = best_epoch(stopped())
    assert (record.status, record.error.kind, record.steps) == (Status.PRUNED, "pruned", best + 2)
    assert record.facts["weights_epoch"] == best

    until_then = RunDir(tmp_path / "until_then")
    done = run_into(until_then, *WITHOUT, f"trainer.epochs={best}")
    assert (done.status, done.facts["weights_epoch"]) == (Status.COMPLETED, best)
    assert same_weights(stopped(), until_then)
    last = torch.load(stopped().checkpoint, weights_only=True)["states"]["network"]
    weights = load_file(stopped().path / WEIGHTS)
    assert any(not torch.equal(weights[name], value) for name, value in last.items())


def test_the_network_can_be_loaded(stopped):
    trained = sweeps.load_model(stopped().path)
    assert trained.record.facts["weights_epoch"] == best_epoch(stopped())
    assert trained.predict(torch.zeros(2, 1, 28, 28, dtype=torch.uint8)).shape == (2,)


@pytest.mark.parametrize("distance", [-1, 1], ids=["before its best epoch", "after its best epoch"])
def test_an_interrupted_run_leaves_the_same_weights(stopped, do_run, folder, distance):
    with pytest.raises(KeyboardInterrupt):
        do_run(*PATIENCE, progress=StopAfter(best_epoch(stopped()) + distance))
    record = do_run(*PATIENCE)
    assert (record.status, record.facts["weights_epoch"]) == (Status.PRUNED, best_epoch(stopped()))
    assert untimed(folder) == untimed(stopped())
    assert same_weights(folder, stopped())


def test_a_run_that_dies_as_it_is_stopped_ends_the_same_way(stopped, do_run, folder, monkeypatch):
    """Its last report and checkpoint are written, its weights and its end are not."""

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(outputs, "save_weights", die)
        with pytest.raises(KeyboardInterrupt):
            do_run(*PATIENCE)
    assert folder.read().status is Status.INTERRUPTED
    record = do_run(*PATIENCE)
    assert (record.status, record.facts["weights_epoch"]) == (Status.PRUNED, best_epoch(stopped()))
    assert untimed(folder) == untimed(stopped()), "not an epoch more"
    assert same_weights(folder, stopped())


def test_a_run_taken_further_ends_with_its_last_weights(do_run, folder):
    best = do_run(*PATIENCE).facts["weights_epoch"]
    record = do_run(*WITHOUT)
    assert (record.status, record.facts["weights_epoch"]) == (Status.COMPLETED, 30)
    assert best < 30


@pytest.mark.parametrize(
    "others",
    [(), ("sweep/pruner=asha", "sweep.pruner.min_resource=4"), (*PATIENT, "trainer.save_weights=false")],
    ids=["none", "asha", "no weights"],
)
def test_nobody_else_keeps_copies(do_run, folder, others):
    with pytest.raises(KeyboardInterrupt):
        do_run(*WITHOUT, *others, progress=StopAfter(2))
    assert torch.load(folder.checkpoint, weights_only=True)["states"]["best"] == {}


def test_other_pruners_leave_a_checkpoint_alone(do_run, folder, monkeypatch):
    monkeypatch.setattr("sweeps.pruners.Judge.report", lambda self, row: Failure("pruned", "asha by train_loss"))
    record = do_run(*WITHOUT, "sweep/pruner=asha")
    assert (record.status, record.facts.get("weights_epoch")) == (Status.PRUNED, None)
    assert folder.checkpoint.exists()
    assert not (folder.path / WEIGHTS).exists()
