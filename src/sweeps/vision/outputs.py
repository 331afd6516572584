"""What a run leaves in its folder beside the engine's record: weights, answers, confusion. All of it is data."""

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import save as safetensors_bytes
from torch import Tensor, nn

import sweeps
from sweeps.record.files import atomic_write
from sweeps.vision import confusion
from sweeps.vision.build import load
from sweeps.vision.confusion import Confusion, Pair
from sweeps.vision.data import ImageSet
from sweeps.vision.training.metrics import Totals

WEIGHTS = "weights.safetensors"
PREDICTIONS = "predictions.safetensors"
KEPT = ("test", "val", "test_bn", "val_bn")  # passes whose answers are kept image by image
PAIRS = 6  # the most confused pairs that are kept
IMAGES = 8  # of each
LARGEST = 64  # pixels: larger images are kept as thumbnails


def save_weights(folder: Path, state: Mapping[str, Tensor]) -> None:
    """Write the weights and buffers of a network's `state_dict` as safetensors, on the CPU, by their names in it."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    atomic_write(folder / WEIGHTS, safetensors_bytes(tensors))


class BestWeights:
    """A copy of the weights and buffers, on the CPU, after the epoch with the best value of the pruner's metric so far.

    It stays empty where no `patience` may need it, or no weights are to be saved.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        pruner = config["sweep"]["pruner"]
        self.metric = str(pruner["metric"])
        self._is_wanted = str(pruner["_target_"]).endswith("PatientPruner") and config["trainer"]["save_weights"]
        self._sign = -1.0 if pruner["direction"] == "min" else 1.0
        self.epoch: int | None = None
        self.gain = -math.inf
        self.network: dict[str, Tensor] = {}

    def offer(self, epoch: int, row: Mapping[str, float], network: nn.Module) -> None:
        """Copy the weights after `epoch` if its value is the best so far; of equal ones the first is kept."""
        if self._is_wanted and (gain := self._sign * row[self.metric]) > self.gain:
            self.epoch, self.gain = epoch, gain
            self.network = {name: value.detach().to("cpu", copy=True) for name, value in network.state_dict().items()}

    def state_dict(self) -> dict[str, Any]:
        if self.epoch is None:
            return {}
        return {"metric": self.metric, "epoch": self.epoch, "gain": self.gain, "network": self.network}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what a checkpoint holds; weights that were chosen by another metric do not compare."""
        if self._is_wanted and state.get("metric") == self.metric:
            self.epoch, self.gain = state["epoch"], state["gain"]
            self.network = {name: value.cpu() for name, value in state["network"].items()}


@contextmanager
def best_if_pruned(run: sweeps.Run, best: BestWeights) -> Iterator[None]:
    """A run that is pruned inside the block leaves the weights of its best epoch, where they were kept."""
    try:
        yield
    except sweeps.StopRun as stop:
        if stop.reason == "pruned" and best.epoch is not None:
            save_weights(run.dir, best.network)
            run.record(weights_epoch=best.epoch)
        raise


def save_answers(folder: Path, config: Mapping[str, Any], measured: Mapping[str, Totals], epoch: int) -> Confusion:
    """Write, and return, what the final network takes for what on the test images; its every answer where wanted."""
    labels = config["dataset"]["labels"]
    found = confusion_of(measured["test"], load(config).test, labels, split="test", epoch=epoch)
    confusion.write(folder, found)
    if config["trainer"]["save_predictions"]:
        tensors: dict[str, Tensor] = {}
        for split in KEPT:
            if split in measured:
                tensors[split], tensors[f"{split.removesuffix('_bn')}_labels"] = measured[split].answers()
        atomic_write(folder / PREDICTIONS, safetensors_bytes(tensors))
    return found


def confusion_of(totals: Totals, images: ImageSet, labels: Sequence[str], *, split: str, epoch: int) -> Confusion:
    """The confusion of a pass over `images` in their own order. The host waits for the device here."""
    counts = totals.confusion()
    guesses, true = totals.answers()
    cells = [(true_class, guess) for true_class in range(len(labels)) for guess in range(len(labels))]
    wrong = [cell for cell in cells if cell[0] != cell[1] and counts[cell[0]][cell[1]]]
    wrong.sort(key=lambda cell: -counts[cell[0]][cell[1]])
    pairs = []
    for true_class, guess in wrong[:PAIRS]:
        places = torch.nonzero((true == true_class) & (guesses == guess)).flatten()[:IMAGES]
        pictures = [_png(images.images[place]) for place in places.tolist()]
        pairs.append(Pair(true_class, guess, counts[true_class][guess], pictures))
    return Confusion(split, epoch, list(labels), counts, pairs)


def _png(image: Tensor) -> bytes:
    """A uint8 image [C, H, W] as a PNG file."""
    pixels = image.cpu().permute(1, 2, 0).squeeze(2).numpy()
    picture = Image.fromarray(pixels)
    picture.thumbnail((LARGEST, LARGEST))
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return file.getvalue()
