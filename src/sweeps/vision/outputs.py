"""What a run leaves in its folder beside the engine's record: weights, answers, confusion. All of it is data."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as safetensors_bytes

import sweeps
from sweeps.record.files import atomic_write
from sweeps.vision import confusion
from sweeps.vision.build import load
from sweeps.vision.confusion import Confusion
from sweeps.vision.training import BestWeights, Totals, confusion_of

WEIGHTS = "weights.safetensors"
PREDICTIONS = "predictions.safetensors"
KEPT = ("test", "val", "test_bn", "val_bn")  # passes whose answers are kept image by image


def save_weights(folder: Path, state: Mapping[str, torch.Tensor]) -> None:
    """Write the weights and buffers of a network's `state_dict` as safetensors, on the CPU, by their names in it."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    atomic_write(folder / WEIGHTS, safetensors_bytes(tensors))


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
        tensors: dict[str, torch.Tensor] = {}
        for split in KEPT:
            if split in measured:
                tensors[split], tensors[f"{split.removesuffix('_bn')}_labels"] = measured[split].answers()
        atomic_write(folder / PREDICTIONS, safetensors_bytes(tensors))
    return found
