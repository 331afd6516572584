"""The latest state of an unfinished run, and the weights of a finished one. Nothing is ever unpickled."""

import io
import logging
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save as safetensors_bytes

from sweeps.record.files import atomic_write
from sweeps.record.records import RunDir
from sweeps.vision.training.best import BestWeights
from sweeps.vision.training.loop import KEPT
from sweeps.vision.training.metrics import Totals
from sweeps.vision.training.step import Step

log = logging.getLogger(__name__)


def save(run: RunDir, run_id: str, epoch: int, step: Step, best: BestWeights | None = None) -> None:
    """Replace the run's checkpoint by its state after `epoch`, with the weights of its best epoch where it keeps them.

    There is no random state in it: every epoch starts from a seed of its own.
    """
    buffer = io.BytesIO()
    network, optimizer = step.network.state_dict(), step.optimizer.state_dict()
    state = {"run_id": run_id, "epoch": epoch, "network": network, "optimizer": optimizer}
    if best is not None and best.epoch is not None:
        state["best"] = best.state_dict()
    torch.save(state, buffer)
    atomic_write(run.checkpoint, buffer.getbuffer())


def restore(
    run: RunDir, run_id: str, step: Step, device: torch.device, *, most: int, best: BestWeights | None = None
) -> int:
    """Put the run's checkpoint into `step` and `best`; returns the epoch it was written after.

    It is 0, and `step` untouched, where there is none that can be trusted: damaged, of another run, of a network that
    has changed since, or of more than the `most` epochs whose metrics are there.
    """
    if not run.checkpoint.is_file():
        return 0
    try:
        _refuse_compressed(run.checkpoint)
        state = torch.load(run.checkpoint, map_location=device, weights_only=True)
        epoch, shapes = state["epoch"], _shapes(step.network.state_dict())
        if (
            state["run_id"] != run_id
            or not _is_epoch(epoch, most)
            or _shapes(state["network"]) != shapes
            or ("best" in state and not _is_epoch(state["best"]["epoch"], epoch))
            or ("best" in state and _shapes(state["best"]["network"]) != shapes)
        ):
            return 0
        step.optimizer.load_state_dict(state["optimizer"])  # refuses what does not fit before it changes anything
        step.network.load_state_dict(state["network"])
        if best is not None and "best" in state:
            best.load_state_dict(state["best"])
        return int(epoch)
    except Exception as error:  # torch reports damage with whatever its reader stumbles over
        log.warning("%s is of no use and left out: %s", run.checkpoint, error)
        return 0


def _refuse_compressed(path: Path) -> None:
    """Ours are not, so that a file takes no more memory than it is long."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise ValueError("its content is compressed")


def save_weights(run: RunDir, state: Mapping[str, torch.Tensor]) -> None:
    """Write the weights and buffers of a network's `state_dict` as safetensors, on the CPU, by their names in it."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    atomic_write(run.weights, safetensors_bytes(tensors))


def save_predictions(run: RunDir, measured: Mapping[str, Totals]) -> None:
    """Write what the final network answered for every held-out image, beside the right answers: a byte each."""
    tensors: dict[str, torch.Tensor] = {}
    for split in KEPT:
        if split in measured:
            tensors[split], tensors[f"{split.removesuffix('_bn')}_labels"] = measured[split].answers()
    atomic_write(run.predictions, safetensors_bytes(tensors))


def _is_epoch(value: object, most: int) -> bool:
    return type(value) is int and 1 <= value <= most


def _shapes(state: Mapping[str, torch.Tensor]) -> dict[str, tuple[torch.Size, torch.dtype]]:
    return {name: (tensor.shape, tensor.dtype) for name, tensor in state.items()}
