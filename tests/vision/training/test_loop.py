"""What a whole run computes: it learns, it repeats itself, and it says when it diverges."""

import itertools
import json
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from safetensors.torch import load_file

from sweeps.progress import Progress
from sweeps.record.records import RunDir, Status
from sweeps.vision.outputs import WEIGHTS
from sweeps.vision.training import watch
from sweeps.vision.training.engine import Training

from .conftest import assert_same_run, same_weights, untimed

REAL = Path("/usr/share/datasets/fashion-mnist")
TINY_NIN = ("model=nin", "resize.size=67", "model.blocks=[[8,11,4,0],[8,5,1,2],[8,3,1,1]]", "model.dropout=0")
TINY_RESNET = ("model=resnet18", "resize=native", "model.stages=[[1,8],[1,16]]", "optim.lr=0.3")


@pytest.mark.parametrize("overrides", [("model=lenet_bn",), TINY_RESNET], ids=["lenet_bn", "resnet"])
def test_one_batch_is_learnt_by_heart(do_run, overrides):
    record = do_run(*overrides, "dataset.limit=20", "dataset.test_limit=10", "trainer.epochs=50")
    assert record.metrics["last"]["train_acc"] == 1.0
    assert record.metrics["last"]["train_loss"] < 0.1


def test_repeats_are_bit_equal_and_seeds_are_not(run_into, tmp_path, net):
    one, two, other = (RunDir(tmp_path / name) for name in ("one", "two", "other"))
    for folder, seed in ((one, 3), (two, 3), (other, 4)):
        torch.manual_seed(torch.seed())  # what was drawn before a run does not matter
        run_into(folder, *net, f"seed={seed}")
    assert_same_run(one, two)
    assert untimed(one) != untimed(other)
    assert not same_weights(one, other)


def test_measuring_more_does_not_change_what_is_trained(run_into, tmp_path):
    plain, more = RunDir(tmp_path / "plain"), RunDir(tmp_path / "more")
    run_into(plain)
    measured = ("trainer.evaluate_train=true", "trainer.bn_reestimate=2")
    run_into(more, *measured, "sweep.checkpoint_every=0", "sweep/tracker=tensorboard")
    assert same_weights(plain, more)
    for row, row_of_more in zip(untimed(plain), untimed(more), strict=True):
        more_figures = {"train_eval_loss", "train_eval_acc", "test_bn_loss", "test_bn_acc"}
        assert row_of_more.keys() - row.keys() == more_figures
        assert {key: row_of_more[key] for key in row} == row


def test_what_a_row_of_metrics_holds(do_run, folder):
    record = do_run("dataset.validation=0.2", "trainer.evaluate_train=true", "optim.lr=0.5")
    rows = folder.read_metrics()
    assert [row["step"] for row in rows] == [1, 2]
    recent = {"train_loss_recent", "train_acc_recent"}
    for row in rows:
        figures = {
            f"{split}_{figure}" for split in ("train", "train_eval", "val", "test") for figure in ("loss", "acc")
        }
        assert row.keys() == figures | recent | {"step", "elapsed", "lr", "examples_per_second"}
        assert row["lr"] == 0.5
        assert all(row[figure] > 0 for figure in ("train_loss", "test_loss", "elapsed", "examples_per_second"))
        assert row["val_acc"] * 20 == pytest.approx(round(row["val_acc"] * 20))  # a fifth of 100 images
        assert row["test_acc"] * 50 == pytest.approx(round(row["test_acc"] * 50))
    assert record.objective.metric == "val_acc"
    assert record.metrics["last"] == rows[-1]


def test_what_is_measured_after_training_is_what_the_weights_give(do_run, run_into, folder, compose):
    """Loss and accuracy of the test and of the training images, once more and in one plain piece."""
    record = do_run("trainer.evaluate_train=true", "trainer.batch_size=24", *TINY_RESNET)
    network = instantiate(record.config["model"])
    network.load_state_dict(load_file(folder.path / WEIGHTS))
    network.eval()
    splits = instantiate(record.config["dataset"]["source"]).load(None)
    with torch.inference_mode():
        for split, images, count in (("train_eval", splits[0], 10), ("test", splits[1], 5)):
            chosen = torch.cat([(images.labels == label).nonzero().flatten()[:count] for label in range(10)])
            logits = network(images.images[chosen].float() / 255)
            loss = torch.nn.functional.cross_entropy(logits, images.labels[chosen])
            right = (logits.argmax(1) == images.labels[chosen]).float().mean()
            assert record.metrics["last"][f"{split}_loss"] == pytest.approx(float(loss), rel=1e-4)
            assert record.metrics["last"][f"{split}_acc"] == pytest.approx(float(right))


@pytest.mark.parametrize("overrides", [TINY_NIN, ("model=lenet_bn",), ("model=extra/torchvision", "resize.size=32")])
def test_the_weights_that_are_kept_fit_the_network_of_the_record(do_run, folder, overrides):
    record = do_run(*overrides, "trainer.epochs=1", "dataset.limit=20")
    network = instantiate(record.config["model"])
    network.load_state_dict(load_file(folder.path / WEIGHTS), strict=True)
    assert record.facts["parameters"] == sum(parameter.numel() for parameter in network.parameters())


def test_weights_are_kept_only_where_they_are_wanted(do_run, folder):
    do_run("trainer.save_weights=false")
    assert not (folder.path / WEIGHTS).exists()


def test_a_loss_that_is_no_number_is_a_result(do_run, folder):
    record = do_run(*TINY_NIN, "optim.lr=1e30", "trainer.epochs=5")
    assert record.status is Status.DIVERGED
    assert record.error.kind == "diverged"
    assert record.error.text in ("the train loss became nan in epoch 1", "the train loss became inf in epoch 1")
    assert record.objective.value is None
    assert (record.steps, folder.read_metrics()) == (None, [])
    assert folder.read() == record
    assert not (folder.path / WEIGHTS).exists()
    assert not folder.checkpoint.exists()
    assert "NaN" not in folder.record.read_text()


def test_epochs_before_the_divergence_are_kept(do_run, folder):
    explode = ("schedule=step", "schedule.milestones=[0.5]", "schedule.gamma=1e38")
    record = do_run(*explode, "trainer.epochs=4")
    assert record.status is Status.DIVERGED
    assert "in epoch 3" in record.error.text
    assert [row["step"] for row in folder.read_metrics()] == [1, 2]
    assert record.metrics["last"]["step"] == record.steps == 2
    assert record.objective.value is None
    assert not folder.checkpoint.exists()


def test_a_divergence_is_noticed_within_the_epoch(do_run, monkeypatch):
    forward, steps = Training.forward, []

    def poisoned(self, images):
        steps.append(len(images))
        return forward(self, images * float("nan") if len(steps) == 2 else images)

    monkeypatch.setattr(Training, "forward", poisoned)
    monkeypatch.setattr(watch.Watch, "_is_due", lambda self: True)  # as if every batch took a second
    assert do_run().status is Status.DIVERGED
    assert len(steps) == 2


def test_a_loss_on_the_test_images_can_diverge_too(do_run, monkeypatch):
    measure = Training.measure
    monkeypatch.setattr(Training, "measure", lambda self, images, labels: measure(self, images / 0, labels))
    record = do_run(TINY_RESNET[0], *TINY_RESNET[1:])
    assert record.status is Status.DIVERGED
    assert "the test loss became" in record.error.text


def test_the_display_hears_of_everything_in_order(do_run, monkeypatch):
    heard = []

    class Display(Progress):
        def begin(self, record):
            heard.append(("begin", record.steps, record.max_steps))

        def update(self, step, text):
            heard.append((step, text.partition(",")[0]))

        def report(self, row):
            heard.append(("report", row["step"]))

        def end(self, record, *, skipped=False):
            heard.append(("end", record.status, skipped))

    monkeypatch.setattr(watch.Watch, "_is_due", lambda self: True)
    monkeypatch.setattr("sweeps.recorded_run.time.monotonic", itertools.count(0, 10).__next__)
    do_run(progress=Display())
    passes = [
        [
            *((epoch - 1 + done / 4, f"train {done}/4") for done in (1, 2, 3, 4)),
            (epoch, "test 1/2"),
            (epoch, "test 2/2"),
            ("report", epoch),
        ]
        for epoch in (1, 2)
    ]
    assert heard == [("begin", None, 2), *passes[0], *passes[1], ("end", Status.COMPLETED, False)]
    heard.clear()
    do_run(progress=Display())
    assert heard == [("end", Status.COMPLETED, True)]


def test_a_network_sees_its_images_in_evaluation_mode_when_they_are_measured(do_run, monkeypatch):
    forward, modes = Training.forward, set()

    def watching(self, images):
        modes.add((self.network.training, torch.is_inference_mode_enabled()))
        return forward(self, images)

    monkeypatch.setattr(Training, "forward", watching)
    do_run("trainer.evaluate_train=true", "dataset.validation=0.2")
    assert modes == {(True, False), (False, True)}


def test_within_epochs_the_recent_figures_are_reported(do_run, folder):
    do_run("trainer.report_every=0.25", "dataset.limit=200", "trainer.epochs=2")
    rows = folder.read_metrics()
    assert [row["step"] for row in rows] == [0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2]
    recent = {"train_loss_recent", "train_acc_recent"}
    assert all(recent <= row.keys() for row in rows)
    assert all(row.keys() == recent | {"step", "elapsed"} for row in rows if row["step"] % 1)
    mean = sum(row["train_loss_recent"] for row in rows[:4]) / 4
    assert rows[3]["train_loss"] == pytest.approx(mean)


def test_without_them_they_are_those_of_the_last_quarter_of_an_epoch(do_run, run_into, folder, tmp_path):
    do_run("dataset.limit=200")
    parts = RunDir(tmp_path / "parts")
    run_into(parts, "dataset.limit=200", "trainer.report_every=0.25")
    assert [row["train_loss_recent"] for row in folder.read_metrics()] == [
        row["train_loss_recent"] for row in parts.read_metrics() if not row["step"] % 1
    ]
    assert same_weights(folder, parts)


def test_seeds_of_epochs_are_unrelated():
    seeds = {watch.epoch_seed(seed, epoch) for seed in range(20) for epoch in range(20)}
    assert len(seeds) == 400
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert watch.epoch_seed(1, 2) == watch.epoch_seed(1, 2)


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason="needs the real images: apt-get install dataset-fashion-mnist")
def test_lenet_learns_the_real_images_in_two_epochs(do_run, folder):
    record = do_run("dataset=fashion_mnist", "dataset.limit=null", "dataset.test_limit=null", "trainer.batch_size=256")
    assert record.status is Status.COMPLETED
    assert max(row["test_acc"] for row in folder.read_metrics()) >= 0.70
    assert json.loads(folder.record.read_text())["config"]["dataset"]["limit"] is None
