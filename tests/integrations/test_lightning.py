"""A Lightning run in a sweep: every epoch is a report, and an interrupted run ends as an uninterrupted one."""

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from sweeps import StopRun
from sweeps.errors import ConfigError, ReportError
from sweeps.record.records import Failure

from .conftest import Killed

pl = pytest.importorskip("lightning.pytorch")
from sweeps.integrations.lightning import SweepsCallback  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # of packages that are not ours


class Module(pl.LightningModule):
    def __init__(self, width=8, die=None, scheduler="epoch"):
        super().__init__()
        self.save_hyperparameters()
        self.network = nn.Sequential(
            nn.Linear(1, width), nn.BatchNorm1d(width), nn.Tanh(), nn.Dropout(0.2), nn.Linear(width, 1)
        )

    def training_step(self, batch, index):
        if self.hparams.die == (self.current_epoch, index):
            raise Killed
        loss = nn.functional.mse_loss(self.network(batch[0] + 0.01 * torch.randn_like(batch[0])), batch[1])
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch, index):
        self.log("val_loss", nn.functional.mse_loss(self.network(batch[0]), batch[1]))

    def on_train_epoch_end(self):
        self.log("late", float(self.current_epoch))

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), lr=0.05)
        if self.hparams.scheduler == "plateau":
            scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": "val_loss"}}
        if self.hparams.scheduler == "step":
            scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=64)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.8)]


def fit(*callbacks, epochs=4, validates=True, fit_with=None, **options):
    """A training function; returns the trained module."""
    module = {key: options.pop(key) for key in ("width", "die", "scheduler") if key in options}

    def train():
        pl.seed_everything(0, verbose=False)
        x = torch.linspace(-3, 3, 64).unsqueeze(1)
        data = TensorDataset(x, torch.sin(x))
        made = [callback() for callback in callbacks]
        usual = {"logger": False, "enable_checkpointing": False, "accelerator": "cpu", "max_epochs": epochs}
        quiet = {"enable_progress_bar": False, "enable_model_summary": False}
        trainer = pl.Trainer(callbacks=[SweepsCallback(), *made], **usual | quiet | options)
        network = Module(**module)
        loaders = [DataLoader(data, 16, shuffle=True)] + [DataLoader(data, 64)] * validates
        trainer.fit(network, *loaders, **fit_with or {})
        return network

    return train


def same_weights(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_every_epoch_is_a_report_of_all_that_was_logged(engine):
    run = engine("a")
    run(fit())
    assert [row["step"] for row in run.rows] == [1, 2, 3, 4]
    assert [row["late"] for row in run.rows] == [0, 1, 2, 3]
    assert run.rows[0].keys() == {"step", "train_loss", "val_loss", "late"}


def early():
    return pl.callbacks.EarlyStopping("val_loss", patience=1, min_delta=0.2)


CASES = {
    "plain": {},
    "without validation": {"validates": False},
    "plateau": {"scheduler": "plateau"},
    "one cycle": {"scheduler": "step"},
    "accumulated gradients": {"accumulate_grad_batches": 3},
    "validation every second epoch": {"check_val_every_n_epoch": 2},
    "validation within epochs": {"val_check_interval": 0.5},
    "early stopping": {"callbacks": early, "epochs": 20},
    "max_steps": {"max_steps": 14, "epochs": -1},
}


@pytest.mark.parametrize("options", CASES.values(), ids=CASES.keys())
def test_an_interrupted_run_ends_as_an_uninterrupted_one(engine, options):
    options = dict(options)
    callbacks = [options.pop("callbacks")] if "callbacks" in options else []
    whole, parts = engine("whole"), engine("parts")
    expected = whole(fit(*callbacks, **options))
    for die in ((0, 2), (1, 0), (1, 3), (2, 1), (3, 1)):
        try:
            last = parts(fit(*callbacks, die=die, **options))
        except Killed:
            continue
        break  # early stopping was before
    else:
        last = parts(fit(*callbacks, **options))
    assert parts.rows == whole.rows
    assert same_weights(last, expected)


def test_figures_of_an_earlier_validation_are_not_reported_again(engine):
    run = engine("a")
    run(fit(check_val_every_n_epoch=2))
    assert ["val_loss" in row for row in run.rows] == [False, True, False, True]
    assert all("train_loss" in row for row in run.rows)


def test_validation_within_an_epoch_is_a_report_of_its_own(engine):
    run = engine("a")
    run(fit(val_check_interval=0.5, epochs=2))
    assert [row["step"] for row in run.rows] == [0.5, 1, 1.5, 2]
    assert all("val_loss" in row for row in run.rows)


class Stop:
    """A pruner that stops a run after a step."""

    def __init__(self, step):
        self.step = step

    def resume(self, done, *, was_stopped):
        return None

    def report(self, row):
        return Failure("pruned", "enough") if row["step"] >= self.step else None


@pytest.mark.parametrize("step", [2, 2.5])
def test_a_pruned_run_ends_its_fit_at_once_and_can_be_resumed(engine, step):
    run, whole = engine("a"), engine("whole")
    with pytest.raises(StopRun) as stop:
        run(fit(val_check_interval=0.5), judge=Stop(step))
    assert stop.value.reason == "pruned"
    assert run.rows[-1]["step"] == step
    expected = whole(fit(val_check_interval=0.5))
    assert same_weights(run(fit(val_check_interval=0.5)), expected)
    assert run.rows == whole.rows


def test_a_run_that_is_asked_to_stop_does_so_after_its_epoch(engine):
    run = engine("a")
    run.progress.stop_requested = lambda: True
    with pytest.raises(StopRun) as stop:
        run(fit())
    assert stop.value.reason == "interrupted"
    assert [row["step"] for row in run.rows] == [1]


def test_outside_of_a_sweep_nothing_is_done(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fit(epochs=2)()
    assert list(tmp_path.iterdir()) == []


def test_a_network_of_another_shape_is_named(engine):
    run = engine("a")
    with pytest.raises(Killed):
        run(fit(die=(2, 0)))
    with pytest.raises(
        ConfigError, match=r"network.0.weight has the shape \[8, 1\] in the checkpoint and \[9, 1\] now"
    ):
        run(fit(width=9))


def test_a_checkpoint_of_ones_own_beside_that_of_the_run_is_a_mistake(engine, tmp_path):
    run = engine("a")
    with pytest.raises(Killed):
        run(fit(die=(2, 0)))
    torch.save({}, tmp_path / "other.ckpt")
    trainer = pl.Trainer(logger=False, enable_checkpointing=False, max_epochs=1, accelerator="cpu")
    trainer.strategy.connect(Module())
    trainer.save_checkpoint(tmp_path / "other.ckpt", weights_only=True)
    with pytest.raises(ConfigError, match="ckpt_path"):
        run(fit(fit_with={"ckpt_path": tmp_path / "other.ckpt"}))


def test_a_second_fit_in_a_run_is_a_mistake(engine):
    def twice():
        fit(epochs=1)()
        fit(epochs=1)()

    with pytest.raises(ReportError, match="restore"):
        engine("a")(twice)


def test_the_engine_does_not_import_lightning():
    command = "import sys, sweeps, sweeps.run, sweeps.task; sys.exit('lightning' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command], check=False).returncode == 0
