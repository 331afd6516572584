"""A trained network from its run directory. Nothing in it is unpickled: the config is JSON, the weights safetensors."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from sweeps.checks import check_targets
from sweeps.data import resize_exact
from sweeps.errors import ConfigError, DataError, RecordError
from sweeps.parts import make
from sweeps.records import RunDir, RunRecord


class Trained(nn.Module):
    """A trained network with the preparation of its images: what went in during training goes in here.

    `labels` names the classes, `record` tells how it was trained.
    """

    def __init__(self, network: nn.Module, record: RunRecord) -> None:
        super().__init__()
        self.network = network
        self.record = record
        self.labels: list[str] = list(record.config["dataset"]["labels"])
        self._size = int(record.config["resize"]["size"])
        self._channels = int(record.config["resize"]["channels"])

    def prepare(self, images: Tensor) -> Tensor:
        """uint8 images [B, C, H, W] of any size as the network sees them: float32 [B, channels, size, size] in [0, 1].

        Floating-point images are taken as they are.

        Raises:
            DataError: they are no such images.
        """
        if images.dim() != 4 or not (images.dtype == torch.uint8 or images.is_floating_point()):
            raise DataError(
                f"images of shape {tuple(images.shape)} and type {images.dtype} cannot be used: uint8 (or prepared "
                "float32) [B, C, H, W]; one image is images[None]"
            )
        if images.dtype == torch.uint8:
            if images.shape[1] not in (1, self._channels):
                raise DataError(
                    f"images of {images.shape[1]} channels cannot be used: the network takes {self._channels}"
                )
            images = resize_exact(images, self._size).float().div(255)
            images = images.expand(-1, self._channels, -1, -1)
        return images

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, classes]."""
        logits: Tensor = self.network(self.prepare(images))
        return logits

    @torch.inference_mode()
    def predict(self, images: Tensor, *, batch_size: int = 256) -> Tensor:
        """The class of each image: int64 [B], on the CPU."""
        device = next(self.network.parameters()).device
        parts = [self(part.to(device)).argmax(dim=1).cpu() for part in images.split(batch_size)]
        return torch.cat(parts)


def load_model(folder: str | Path, *, device: str = "cpu") -> Trained:
    """The network that the run in `folder` has trained, on `device` and in evaluation mode.

    Raises:
        RecordError: there is no readable record, or no weights were kept, or they do not fit.
        ConfigError: the record names a network that a config may not build, or there is no such device.
    """
    run = RunDir(folder)
    record = run.read()
    if not run.weights.is_file():
        raise RecordError(
            f"{run.weights} is not there: the run is {record.status}, or was trained with trainer.save_weights=false"
        )
    check_targets(record.config["model"])
    network: nn.Module = make(record.config["model"])
    try:
        network.load_state_dict(load_file(run.weights))
    except (SafetensorError, RuntimeError) as error:
        raise RecordError(f"{run.weights} does not fit {record.config['model']['_target_']}: {error}") from error
    try:
        return Trained(network, record).to(device).eval()
    except (RuntimeError, AssertionError) as error:  # no such device, or torch without CUDA
        raise ConfigError(f"device={device} cannot be used: {str(error).splitlines()[0]}; cpu always can") from error
