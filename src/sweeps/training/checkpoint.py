"""The latest state of an unfinished run, and the weights of a finished one. Nothing is ever unpickled."""

import io
from dataclasses import dataclass
from typing import Any

import torch
from safetensors.torch import save as safetensors_bytes
from torch import nn

from sweeps.records import RunDir, atomic_write
from sweeps.training.step import Step


@dataclass
class Checkpoint:
    """What `load` found: the run goes on after `epoch`."""

    epoch: int
    network: dict[str, Any]
    optimizer: dict[str, Any]


def save(run: RunDir, run_id: str, epoch: int, step: Step) -> None:
    """Replace the run's checkpoint by its state after `epoch`.

    There is no random state in it: every epoch starts from a seed of its own.
    """
    buffer = io.BytesIO()
    network, optimizer = step.network.state_dict(), step.optimizer.state_dict()
    state = {"run_id": run_id, "epoch": epoch, "network": network, "optimizer": optimizer}
    torch.save(state, buffer)
    atomic_write(run.checkpoint, buffer.getbuffer())


def load(run: RunDir, run_id: str, device: torch.device) -> Checkpoint | None:
    """The run's checkpoint, or None where there is none that can be trusted (damaged, or of another run)."""
    try:
        state = torch.load(run.checkpoint, map_location=device, weights_only=True)
        found = Checkpoint(int(state["epoch"]), state["network"], state["optimizer"])
    except FileNotFoundError:
        return None
    except Exception:  # torch reports damage with whatever its reader stumbles over
        return None
    return found if state["run_id"] == run_id else None


def save_weights(run: RunDir, network: nn.Module) -> None:
    """Write the final weights and buffers as safetensors, on the CPU, by their names in the network."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    atomic_write(run.weights, safetensors_bytes(tensors))
