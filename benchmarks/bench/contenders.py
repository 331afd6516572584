"""What is timed: functions that train one network for one epoch, each in its own way.

All of them start from the same weights. Those that evaluate also see the same images in the same order, so they must
arrive at the same figures; `measure.problems` holds them to it.
"""

import importlib.util
import logging
import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

import sweeps
from sweeps.vision.data import ImageSet, Splits
from sweeps.vision.devices import now
from sweeps.vision.task import epoch_function, evaluate
from sweeps.vision.training.cuda_graphs import RECORDED_AFTER
from sweeps.vision.training.engine import Training
from sweeps.vision.training.watch import Watch, epoch_seed

LOADER_WORKERS = min(4, os.cpu_count() or 1)  # of the textbook's DataLoader
EPOCH = 1

# torch's own choice; read before any run sets it for the process.
_MATMUL_PRECISION = torch.backends.cuda.matmul.fp32_precision
_CONV_PRECISION = torch.backends.cudnn.conv.fp32_precision  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Task:
    """One epoch's work. It is made anew for every measurement: nothing that one contender does reaches the next."""

    training: Training
    splits: Splits
    config: Mapping[str, Any]

    @property
    def device(self) -> torch.device:
        """Where it is done."""
        return self.training.engine.device

    def seed_dropout(self) -> None:
        """All contenders drop the same units."""
        torch.manual_seed(epoch_seed(self.config["seed"], EPOCH))


@dataclass(frozen=True)
class Outcome:
    """What one contender did and how long it took; the evaluation's figures are None where there was none.

    `train_seconds` is the part with forward, backward and optimizer steps; `seconds` adds the evaluation of the
    training and the test images. Neither counts process start, reading files or building the network.
    """

    seconds: float
    train_seconds: float
    steps: int
    train_loss: float  # this and the next are running averages over the epoch; the floor's are its last step's
    train_acc: float
    train_eval_loss: float | None = None
    train_eval_acc: float | None = None
    test_loss: float | None = None
    test_acc: float | None = None


def textbook(task: Task) -> Outcome:
    """The loop that one writes after a tutorial: an image at a time through PIL, `.item()` at every step."""
    _use_defaults_of_torch()
    device, network = task.device, task.training.network
    optimizer = torch.optim.SGD(network.parameters(), lr=task.training.lr(EPOCH))  # as in all recipes
    # shuffle=True with the order fixed: the sampler draws the same permutation beforehand, at the same cost.
    order = task.training.data.train.order(EPOCH).tolist()
    train_loader = _tutorial_loader(task.splits.train, task, sampler=order)
    test_loader = _tutorial_loader(task.splits.test, task)
    task.seed_dropout()
    began = now(device)

    network.train()
    steps, loss_sum, correct, seen = 0, 0.0, 0, 0
    for images, labels in train_loader:
        images, labels = images.to(device), labels.to(device)
        optimizer.zero_grad()
        logits = network(images)
        loss = F.cross_entropy(logits, labels)
        loss.backward()
        optimizer.step()
        loss_sum += loss.item() * len(labels)
        correct += (logits.argmax(dim=1) == labels).sum().item()
        seen += len(labels)
        steps += 1
    train_seconds = now(device) - began

    measured = [
        figure for loader in (train_loader, test_loader) for figure in _tutorial_evaluation(network, loader, device)
    ]
    return Outcome(now(device) - began, train_seconds, steps, loss_sum / seen, correct / seen, *measured)


def ours(task: Task, splits: Sequence[str]) -> Outcome:
    """The package's own epoch, as in `sweeps.vision.task.train`, with an evaluation of these splits.

    With `train_eval` it measures the figures of the textbook; the default leaves that second pass out.
    """
    _take_first_steps(task)
    training = task.training
    watch = Watch(sweeps.current_run(), task.config)
    task.seed_dropout()
    began = now(task.device)
    trained = epoch_function(training)(training, EPOCH, watch)
    means = watch.end("train", EPOCH, trained)
    watch.recent(trained)
    train_seconds = now(task.device) - began
    figures: dict[str, float] = {}
    for name in splits:
        found = watch.end(name, EPOCH, evaluate(training, name, EPOCH, watch))
        figures |= {f"{name}_loss": found.loss, f"{name}_acc": found.acc}
    seconds = now(task.device) - began
    return Outcome(seconds, train_seconds, training.data.train.steps, means.loss, means.acc, **figures)


def _take_first_steps(task: Task) -> None:
    """Compile and record what is compiled or recorded once a run, and take back what it did to the network."""
    training = task.training
    if training.graphs is None and training.engine.compile == "none":
        return
    before = {name: value.clone() for name, value in training.network.state_dict().items()}
    images, labels = next(training.data.train.shuffled(EPOCH))
    training.network.train()
    for _ in range(RECORDED_AFTER):
        _step(training, images, labels)
    training.network.eval()
    with torch.inference_mode():
        for _ in range(RECORDED_AFTER):
            training.measure(images, labels)
    training.network.load_state_dict(before)  # copies: recorded graphs keep reading where they read
    training.optimizer.state.clear()


def floor(task: Task) -> Outcome:
    """The steps of ours on batches of the same sizes, all of them the one that is ready: no data path, no metrics."""
    training, train = task.training, task.training.data.train
    images, labels = next(train.shuffled(EPOCH))
    images = images.contiguous(memory_format=training.engine.memory_format)
    last = train.num_trained - (train.steps - 1) * task.config["trainer"]["batch_size"]
    batches = [(images, labels)] * (train.steps - 1) + [(images[:last], labels[:last])]
    logits, loss = torch.empty(0), torch.empty(0)
    _take_first_steps(task)
    task.seed_dropout()
    began = now(task.device)

    training.network.train()
    for images, labels in batches:
        logits, loss = _step(training, images, labels)
    seconds = now(task.device) - began
    correct = (logits.argmax(dim=1) == labels).float().mean()
    return Outcome(seconds, seconds, len(batches), train_loss=loss.item(), train_acc=correct.item())


def _step(training: Training, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Forward, backward and optimizer step, as in the epochs of the package."""
    if training.graphs is not None:
        logits, loss = training.graphs.gradients(images, labels)
    else:
        logits = training.forward(images)
        loss = F.cross_entropy(logits, labels)
        training.optimizer.zero_grad(set_to_none=True)
        loss.backward()
    training.optimizer.step()
    return logits, loss


def lightning(task: Task) -> Outcome:
    """One epoch with Lightning's trainer and the tutorial's data set; it measures the test images, as is usual."""
    from lightning.pytorch import LightningModule, Trainer

    class Module(LightningModule):
        """The network as in Lightning's introduction, logging loss and accuracy per epoch."""

        def __init__(self) -> None:
            super().__init__()
            self.network = task.training.network
            self.train_ended = 0.0

        def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
            return self._measure(batch, "train")

        def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
            self._measure(batch, "test")

        def on_validation_start(self) -> None:
            self.train_ended = now(self.device)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=task.training.lr(EPOCH))

        def _measure(self, batch: tuple[Tensor, Tensor], split: str) -> Tensor:
            images, labels = batch
            logits = self.network(images)
            loss: Tensor = F.cross_entropy(logits, labels)
            figures = {f"{split}_loss": loss, f"{split}_acc": (logits.argmax(dim=1) == labels).float().mean()}
            self.log_dict(figures, on_step=False, on_epoch=True, batch_size=len(labels))
            return loss

    _use_defaults_of_torch()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    order = task.training.data.train.order(EPOCH).tolist()
    train, test = _tutorial_loader(task.splits.train, task, sampler=order), _tutorial_loader(task.splits.test, task)
    module = Module()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice about loaders, and deprecations inside Lightning
        trainer = Trainer(
            max_epochs=1,
            accelerator="gpu" if task.device.type == "cuda" else task.device.type,
            devices=1,
            num_sanity_val_steps=0,
            enable_progress_bar=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            logger=False,
        )
        task.seed_dropout()
        began = now(task.device)
        trainer.fit(module, train, test)
        seconds = now(task.device) - began
    figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
    return Outcome(seconds, module.train_ended - began, trainer.global_step, **figures)


@dataclass(frozen=True)
class Contender:
    """A way to train. `settings` are those of the `trainer` group that it needs whatever the run's own are."""

    run: Callable[[Task], Outcome]
    settings: Mapping[str, str] = field(default_factory=dict)


PLAIN = {"precision": "fp32", "memory_format": "contiguous", "compile": "none", "capture": "never"}
CONTENDERS = {
    "textbook": Contender(textbook, PLAIN),
    "ours": Contender(partial(ours, splits=("train_eval", "test"))),
    "default": Contender(partial(ours, splits=("test",))),
    "floor": Contender(floor),
}
if importlib.util.find_spec("lightning") is not None:
    CONTENDERS["lightning"] = Contender(lightning, PLAIN)


def _use_defaults_of_torch() -> None:
    """Take back what the engine of an earlier run has set for the whole process."""
    torch.backends.cuda.matmul.fp32_precision = _MATMUL_PRECISION
    torch.backends.cudnn.conv.fp32_precision = _CONV_PRECISION  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    torch.set_flush_denormal(False)


class _TutorialDataset(Dataset[tuple[Tensor, int]]):
    """One image at a time as a PIL image through transforms, as torchvision's own data sets do it."""

    def __init__(self, images: ImageSet, size: int) -> None:
        self._data, self._targets = images.images.squeeze(1), images.labels  # [N, H, W]
        self._transform = transforms.Compose([transforms.Resize(size), transforms.ToTensor()])

    def __len__(self) -> int:
        return len(self._targets)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = Image.fromarray(self._data[index].numpy())
        return self._transform(image), int(self._targets[index])


def _tutorial_loader(
    images: ImageSet, task: Task, sampler: Iterable[int] | None = None
) -> DataLoader[tuple[Tensor, int]]:
    return DataLoader(
        _TutorialDataset(images, task.config["resize"]["size"]),
        batch_size=task.config["trainer"]["batch_size"],
        sampler=sampler,
        num_workers=LOADER_WORKERS,
        generator=torch.Generator(),  # of the workers' seeds, which would come out of the dropout's numbers
    )


def _tutorial_evaluation(
    network: nn.Module, loader: DataLoader[tuple[Tensor, int]], device: torch.device
) -> tuple[float, float]:
    """Mean loss and accuracy in evaluation mode."""
    network.eval()
    loss_sum, correct, seen = 0.0, 0, 0
    with torch.no_grad():
        for images, labels in loader:
            images, labels = images.to(device), labels.to(device)
            logits = network(images)
            loss_sum += F.cross_entropy(logits, labels).item() * len(labels)
            correct += (logits.argmax(dim=1) == labels).sum().item()
            seen += len(labels)
    return loss_sum / seen, correct / seen
