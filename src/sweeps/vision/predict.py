"""A trained network from its run directory, which may be somebody else's: what is in it is data, and runs nothing.

The config is JSON, of which the allow-list says what may be built; the weights are safetensors.
"""

import textwrap
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from reprlib import repr as short
from typing import Any, NoReturn

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from sweeps import ConfigError, DataError, RecordError, SweepsError
from sweeps.config import lookup
from sweeps.record.records import RunDir, RunRecord
from sweeps.vision.build import make_network
from sweeps.vision.data import resize_exact
from sweeps.vision.outputs import WEIGHTS


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


# What of a record's config is used here, and what it must be.
_NEEDED: tuple[tuple[str, str, Callable[[Any], bool]], ...] = (
    (
        "model",
        "it has to be a network's _target_ with its arguments",
        lambda v: isinstance(v, dict) and "_target_" in v,
    ),
    ("resize.size", "it has to be a whole number of pixels", _is_whole),
    ("resize.channels", "it has to be 1 or 3", lambda v: _is_whole(v) and v in (1, 3)),
    (
        "dataset.labels",
        "it has to be a list of names",
        lambda v: isinstance(v, list) and all(isinstance(name, str) for name in v),
    ),
)


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
    if not (run.path / WEIGHTS).is_file():
        raise RecordError(
            f"{run.path / WEIGHTS} is not there: the run is {record.status}, or was trained with "
            "trainer.save_weights=false"
        )
    for key, rule, holds in _NEEDED:
        value = lookup(record.config, key)
        if not holds(value):
            raise RecordError(f"{run.record}: {key}={short(value)} is invalid: {rule}; the record was changed")
    node = record.config["model"]
    if str(node["_target_"]).startswith("sweeps.models."):  # release 0.1
        node = {**node, "_target_": node["_target_"].replace("sweeps.", "sweeps.vision.", 1)}
    network = _network(run, node)
    try:
        return Trained(network, record).to(device).eval()
    except (RuntimeError, AssertionError) as error:  # no such device, or torch without CUDA
        raise ConfigError(f"device={device} cannot be used: {str(error).splitlines()[0]}; cpu always can") from error


def _network(run: RunDir, node: dict[str, Any]) -> nn.Module:
    """The network of `node` with the run's weights."""
    with _no_download():
        try:
            with torch.device("meta"), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # pretrained weights go nowhere here
                blank = make_network(node)
        except SweepsError:
            raise
        except Exception as error:  # a builder meets arguments that no run of its own had
            raise RecordError(
                f"{run.record}: {node['_target_']} cannot be made: {textwrap.shorten(str(error), 300)}"
            ) from error
        try:
            weights = load_file(run.path / WEIGHTS)
            blank.load_state_dict(weights, assign=True)  # what does not fit must not cost memory first
        except (SafetensorError, RuntimeError, OSError) as error:
            reason = textwrap.shorten(str(error), 300)
            raise RecordError(f"{run.path / WEIGHTS} does not fit {node['_target_']}: {reason}") from error
        network = make_network(node)
    network.load_state_dict(weights)
    return network


@contextmanager
def _no_download() -> Iterator[None]:
    """Inside the block torch.hub takes pretrained weights from its cache alone.

    They are replaced at once; but what else a builder changes where it has them has to be as in the run.
    """

    def refuse(url: str, *arguments: Any, **options: Any) -> NoReturn:
        raise RecordError(
            "the network starts from pretrained weights that are not in the cache, and loading a run downloads "
            f"nothing; to have them, call torch.hub.load_state_dict_from_url({url!r}, check_hash=True) first"
        )

    allowed = torch.hub.download_url_to_file
    torch.hub.download_url_to_file = refuse
    try:
        yield
    finally:
        torch.hub.download_url_to_file = allowed
