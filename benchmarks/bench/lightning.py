"""The contender that most people would pick: PyTorch Lightning with a DataLoader."""

import logging
import warnings
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.nn import functional as F

from benchmarks.bench.contenders import (
    EPOCH,
    PLAIN,
    Contender,
    Outcome,
    Task,
    leave_torch_as_it_comes,
    tutorial_loader,
)
from sweeps.vision.devices import now
from sweeps.vision.training.loop import epoch_seed


class Module(LightningModule):
    """The network as Lightning's own introduction has it, logging loss and accuracy per epoch."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.network = task.step.network
        self.rate = task.step.lr
        self.steps = 0
        self.train_ended = 0.0

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        """One step; Lightning does the backward pass."""
        self.steps += 1
        return self._measure(batch, "train")

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        """One evaluation step."""
        self._measure(batch, "test")

    def on_validation_start(self) -> None:
        """The training part is over."""
        self.train_ended = now(self.device)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Plain SGD, as all recipes have it."""
        return torch.optim.SGD(self.parameters(), lr=self.rate)

    def _measure(self, batch: tuple[Tensor, Tensor], split: str) -> Tensor:
        images, labels = batch
        logits = self.network(images)
        loss = F.cross_entropy(logits, labels)
        accuracy = (logits.argmax(dim=1) == labels).float().mean()
        figures = {f"{split}_loss": loss, f"{split}_acc": accuracy}
        self.log_dict(figures, on_step=False, on_epoch=True, batch_size=len(labels))
        return loss


def lightning(task: Task) -> Outcome:
    """One epoch with Lightning's trainer and the tutorial's data set; it measures the test images, as is usual."""
    leave_torch_as_it_comes()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    order = task.data.train.order(EPOCH).tolist()
    train, test = tutorial_loader(task.splits.train, task, sampler=order), tutorial_loader(task.splits.test, task)
    module = Module(task)
    quiet: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_model_summary": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice about loaders, and deprecations inside Lightning
        trainer = Trainer(
            max_epochs=1,
            accelerator="gpu" if task.device.type == "cuda" else task.device.type,
            devices=1,
            num_sanity_val_steps=0,
            enable_progress_bar=False,
            **quiet,
        )
        torch.manual_seed(epoch_seed(task.seed, EPOCH))
        began = now(task.device)
        trainer.fit(module, train, test)
        seconds = now(task.device) - began
    figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
    return Outcome(
        seconds=seconds,
        train_seconds=module.train_ended - began,
        steps=module.steps,
        train_loss=figures["train_loss"],
        train_acc=figures["train_acc"],
        test_loss=figures["test_loss"],
        test_acc=figures["test_acc"],
    )


LIGHTNING = Contender(lightning, PLAIN)
