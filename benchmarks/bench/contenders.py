"""What is timed: functions that train one network for one epoch, each in its own way.

All of them start from the same weights. Those that evaluate also see the same images in the same order, so they must
arrive at the same figures; `measure.problems` holds them to it.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from sweeps.progress import Progress
from sweeps.vision.data import ImageSet, Splits
from sweeps.vision.devices import now
from sweeps.vision.training import RECORDED_AFTER, Loaders, Step, Totals, run_epochs
from sweeps.vision.training.loop import epoch_seed

LOADER_WORKERS = min(4, os.cpu_count() or 1)  # of the textbook's DataLoader
EPOCH = 1

# What torch does unless it is told otherwise; read before any run sets it for the process.
_MATMUL_PRECISION = torch.backends.cuda.matmul.fp32_precision
_CONV_PRECISION = torch.backends.cudnn.conv.fp32_precision  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Task:
    """One epoch's work. It is made anew for every measurement: nothing that one contender does reaches the next."""

    step: Step
    data: Loaders
    splits: Splits
    image_size: int
    batch_size: int
    classes: int
    seed: int
    device: torch.device


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
    leave_torch_as_it_comes()
    device, network = task.device, task.step.network
    optimizer = torch.optim.SGD(network.parameters(), lr=task.step.lr)  # as all recipes have it
    # shuffle=True with the order fixed: the sampler draws the same permutation beforehand, at the same cost.
    order = task.data.train.order(EPOCH).tolist()
    train_loader = tutorial_loader(task.splits.train, task, sampler=order)
    test_loader = tutorial_loader(task.splits.test, task)
    torch.manual_seed(epoch_seed(task.seed, EPOCH))  # the dropout of `run_epochs`
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

    train_eval_loss, train_eval_acc = _tutorial_evaluation(network, train_loader, device)
    test_loss, test_acc = _tutorial_evaluation(network, test_loader, device)
    return Outcome(
        seconds=now(device) - began,
        train_seconds=train_seconds,
        steps=steps,
        train_loss=loss_sum / seen,
        train_acc=correct / seen,
        train_eval_loss=train_eval_loss,
        train_eval_acc=train_eval_acc,
        test_loss=test_loss,
        test_acc=test_acc,
    )


def ours(task: Task) -> Outcome:
    """The package's own loop, measuring the figures of the textbook."""
    return _our_epoch(task, evaluate_train=True)


def ours_as_it_comes(task: Task) -> Outcome:
    """The package's own loop without the second pass over the training images, as it is by default."""
    return _our_epoch(task, evaluate_train=False)


def _our_epoch(task: Task, *, evaluate_train: bool) -> Outcome:
    _take_first_steps(task)
    began = now(task.device)
    [(row, _)] = run_epochs(
        task.step,
        task.data,
        epochs=range(EPOCH, EPOCH + 1),
        seed=task.seed,
        evaluate_train=evaluate_train,
        new_totals=lambda: Totals(task.classes, task.device),
        progress=Progress(),
    )
    seconds = now(task.device) - began
    return Outcome(
        seconds=seconds,
        train_seconds=task.data.train.num_trained / row["examples_per_second"],
        steps=task.step.steps,
        train_loss=row["train_loss"],
        train_acc=row["train_acc"],
        train_eval_loss=row.get("train_eval_loss"),
        train_eval_acc=row.get("train_eval_acc"),
        test_loss=row["test_loss"],
        test_acc=row["test_acc"],
    )


def _take_first_steps(task: Task) -> None:
    """Compile and record what is compiled or recorded once a run, and take back what it did to the network."""
    step = task.step
    if step.engine.capture == "never" and step.engine.compile == "none":
        return
    before = {name: value.clone() for name, value in step.network.state_dict().items()}
    images, labels = next(task.data.train.shuffled(EPOCH))
    totals = Totals(task.classes, task.device)
    step.network.train()
    for _ in range(RECORDED_AFTER):
        step.train(images, labels, totals)
    step.network.eval()
    with torch.inference_mode():
        for _ in range(RECORDED_AFTER):
            step.evaluate(images, labels, totals)
    step.network.load_state_dict(before)  # copies: recorded graphs keep reading where they read
    step.optimizer.state.clear()
    step.steps = 0


def floor(task: Task) -> Outcome:
    """The steps of ours on batches of the same sizes, all of them the one that lies ready: no data path, no metrics."""
    step = task.step
    images, labels = next(task.data.train.shuffled(EPOCH))
    images = step.engine.images(images)
    last = task.data.train.num_trained - (task.data.train.steps - 1) * task.batch_size
    batches = [(images, labels)] * (task.data.train.steps - 1) + [(images[:last], labels[:last])]
    logits, loss = torch.empty(0), torch.empty(0)
    _take_first_steps(task)
    torch.manual_seed(epoch_seed(task.seed, EPOCH))
    began = now(task.device)

    step.network.train()
    for images, labels in batches:
        logits, loss = step.move(images, labels)
    seconds = now(task.device) - began
    correct = (logits.argmax(dim=1) == labels).float().mean()
    return Outcome(seconds, seconds, len(batches), train_loss=loss.item(), train_acc=correct.item())


@dataclass(frozen=True)
class Contender:
    """A way to train. `settings` are those of the `trainer` group that it needs whatever the run's own are."""

    run: Callable[[Task], Outcome]
    settings: Mapping[str, str] = field(default_factory=dict)


PLAIN = {"precision": "fp32", "memory_format": "contiguous", "compile": "none", "capture": "never"}


# A further contender is a function and a line here; `lightning.py` adds its own, where that package is installed.
CONTENDERS = {
    "textbook": Contender(textbook, PLAIN),
    "ours": Contender(ours),
    "default": Contender(ours_as_it_comes),
    "floor": Contender(floor),
}


def leave_torch_as_it_comes() -> None:
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


def tutorial_loader(
    images: ImageSet, task: Task, sampler: Iterable[int] | None = None
) -> DataLoader[tuple[Tensor, int]]:
    return DataLoader(
        _TutorialDataset(images, task.image_size),
        batch_size=task.batch_size,
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
