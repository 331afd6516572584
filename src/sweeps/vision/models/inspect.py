"""What a network needs and what it costs, found out on the meta device: shapes only, no memory, no arithmetic.

A sweep asks this of every distinct network before its first run, so that settings which cannot work cost seconds.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from sweeps import ConfigError

# Where the search for a size that works looks: the usual image sizes.
SIZES = (1, 8, 16, 32, 64, 96, 128, 160, 192, 224, 256, 299, 320, 384, 448, 512, 1024)


@dataclass(frozen=True)
class NetworkProfile:
    """The size and the cost of a network.

    `parameters` counts numbers, `tensors` the parameter tensors that hold them, and `forward_macs` the
    multiply-accumulate operations of convolutions and matrix products for one image in evaluation mode.
    """

    parameters: int
    tensors: int
    forward_macs: int


def inspect_network(
    build: Callable[[int], nn.Module],
    *,
    name: str,
    channels: int,
    image_size: int,
    classes: int,
    batch_size: int,
    smallest_batch: int,
) -> NetworkProfile:
    """Check that a network can be trained on these images, and measure it.

    `build(image_size)` builds the network; `name` is what messages call it. It must take training batches of
    `smallest_batch` images (an epoch's last batch; `batch_size` is the others' size) [B, channels, image_size,
    image_size] and give one tensor of logits [B, classes], in training as in evaluation mode. Touches neither the
    random state nor a real device.

    Raises `ConfigError` with the layer that fails, the rule and a setting that works.
    """
    try:
        network = _build(build, image_size)
        logits = _forward(network.train(), (smallest_batch, channels, image_size, image_size))
        _check_logits(logits, name, "training", smallest_batch, classes)
        with FlopCounterMode(display=False) as counter:
            logits = _forward(network.eval(), (1, channels, image_size, image_size))
        _check_logits(logits, name, "evaluation", 1, classes)
    except _Failed as failure:
        raise (
            _channels_error(failure, name, channels)
            or _batch_error(failure, name, batch_size)
            or _size_error(failure, name, image_size, lambda size: _works(build, channels, size))
        ) from failure.reason
    parameters = list(network.parameters())
    return NetworkProfile(
        parameters=sum(parameter.numel() for parameter in parameters),
        tensors=len(parameters),
        forward_macs=counter.get_total_flops() // 2,
    )


class _Failed(Exception):
    """A network that could not be built or run; `layer` is the innermost one that was at work, if any was."""

    def __init__(self, reason: Exception, layer: "_Layer | None" = None) -> None:
        super().__init__(str(reason))
        self.reason = reason
        self.layer = layer


@dataclass(frozen=True)
class _Layer:
    module: nn.Module
    title: str
    input: torch.Size


def _build(build: Callable[[int], nn.Module], image_size: int) -> nn.Module:
    try:
        with torch.device("meta"):
            return build(image_size)
    except Exception as error:
        # Hydra wraps what a builder raises; a builder's own ConfigError says it best.
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, ConfigError):
            cause = cause.__cause__
        if cause is not None:
            raise cause from None
        raise _Failed(error) from error


def _forward(network: nn.Module, shape: tuple[int, int, int, int]) -> object:
    with _watched(network) as running, torch.no_grad():
        try:
            return network(torch.empty(shape, device="meta"))
        except Exception as error:
            raise _Failed(error, running[-1] if running else None) from error


def _works(build: Callable[[int], nn.Module], channels: int, image_size: int) -> bool:
    try:
        # Two images, so that the answer is about the size of the images and not of the batch.
        _forward(_build(build, image_size).train(), (2, channels, image_size, image_size))
    except (_Failed, ConfigError):
        return False
    return True


@contextmanager
def _watched(network: nn.Module) -> Iterator[list[_Layer]]:
    """Yield the stack of layers at work: after a failure its last one is the innermost that did not finish."""
    running: list[_Layer] = []
    kinds: dict[type[nn.Module], list[str]] = {}
    for path, module in network.named_modules():
        kinds.setdefault(type(module), []).append(path)

    def watch(path: str, module: nn.Module) -> list[torch.utils.hooks.RemovableHandle]:
        kind = kinds[type(module)]
        title = f"{type(module).__name__} {kind.index(path) + 1} of {len(kind)} (layer {path})"
        if not path:
            title = "forward pass"

        def enter(module: nn.Module, inputs: tuple[object, ...]) -> None:
            first = inputs[0] if inputs else None
            running.append(_Layer(module, title, first.shape if isinstance(first, Tensor) else torch.Size()))

        def leave(module: nn.Module, inputs: object, output: object) -> None:
            running.pop()

        return [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]

    handles = [handle for path, module in network.named_modules() for handle in watch(path, module)]
    try:
        yield running
    finally:
        for handle in handles:
            handle.remove()


def _check_logits(logits: object, name: str, mode: str, batch: int, classes: int) -> None:
    if not isinstance(logits, Tensor):
        raise ConfigError(
            f"{name} returns {type(logits).__name__} in {mode}, but one tensor of logits [B, {classes}] is needed; "
            "switch its auxiliary heads off, such as with +model.aux_logits=false"
        )
    if logits.shape != (batch, classes):
        raise ConfigError(
            f"{name} returns logits {list(logits.shape)} for {batch} images, but the data set has {classes} classes, "
            f"so [{batch}, {classes}] is needed; use model.num_classes={classes}"
        )


def _channels_error(failure: _Failed, name: str, channels: int) -> ConfigError | None:
    layer = failure.layer
    if layer is None or not isinstance(layer.module, nn.Conv2d) or len(layer.input) != 4:
        return None
    seen, wanted = layer.input[1], layer.module.in_channels
    if seen == wanted or seen != channels:
        return None
    note = ", which repeats a grey image in each channel" if (seen, wanted) == (1, 3) else ""
    return ConfigError(
        f"resize.channels={channels} does not fit {name}: its {layer.title} takes {wanted} channels; "
        f"use resize.channels={wanted}{note}"
    )


def _batch_error(failure: _Failed, name: str, batch_size: int) -> ConfigError | None:
    layer = failure.layer
    if layer is None or not isinstance(layer.module, nn.modules.batchnorm._BatchNorm):
        return None
    if not layer.input or layer.input.numel() != layer.input[1]:
        return None
    problem = "trains on one image at a time" if batch_size == 1 else "leaves a last batch of 1 image"
    remedy = "trainer.batch_size>=2" if batch_size == 1 else "trainer.drop_last=true, or another trainer.batch_size"
    return ConfigError(
        f"trainer.batch_size={batch_size} {problem}, but {name}'s {layer.title} would see one value per channel "
        f"and needs at least two to normalise in training; use {remedy}"
    )


def _size_error(failure: _Failed, name: str, image_size: int, works: Callable[[int], bool]) -> ConfigError:
    size = _nearest_size(image_size, works)
    problem = _problem(failure, pixels_help=size is not None and size > image_size)
    if size is None and failure.layer is None:
        return ConfigError(f"{name} {problem}; check the arguments of model")
    if size is None:
        return ConfigError(
            f"{name} cannot run with images of {image_size} x {image_size} pixels, nor of any other usual size: "
            f"{problem}; check the arguments of model, or use another network"
        )
    verdict = "is too small for" if size > image_size else "does not suit"
    # A network for one size alone (a transformer) does not work with the next or with the double.
    relation = ">=" if size > image_size and works(size + 1) and works(2 * size) else "="
    return ConfigError(
        f"resize.size={image_size} {verdict} {name}: {problem}; use resize.size{relation}{size} or another network"
    )


def _problem(failure: _Failed, *, pixels_help: bool) -> str:
    layer = failure.layer
    reason = f"{type(failure.reason).__name__}: {' '.join(str(failure.reason).split())}"
    if layer is None:
        return f"cannot be built ({reason})"
    if len(layer.input) != 4:
        return f"its {layer.title} cannot take an input of {list(layer.input)} ({reason})"
    height, width = layer.input[2:]
    kernel = getattr(layer.module, "kernel_size", None)
    if kernel is not None and pixels_help:
        reason = f"too few for its kernel of {kernel if isinstance(kernel, int) else kernel[0]}"
    return f"its {layer.title} would see {height} x {width} pixels ({reason})"


def _nearest_size(image_size: int, works: Callable[[int], bool]) -> int | None:
    """Return the smallest larger size that works, else a smaller one, else None; builds a few dozen times at most."""
    larger = next((size for size in SIZES if size > image_size and works(size)), None)
    if larger is None:
        return next((size for size in reversed(SIZES) if size < image_size and works(size)), None)
    fails = max((size for size in SIZES if image_size < size < larger), default=image_size)
    while larger - fails > 1:
        middle = (fails + larger) // 2
        if works(middle):
            larger = middle
        else:
            fails = middle
    return larger
