"""What a network needs and what it costs, found out on the meta device: shapes only, no memory, no arithmetic.

A sweep asks this of every distinct network before its first run, so that settings which cannot work cost seconds.
"""

import bisect
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils.flop_counter import FlopCounterMode

from sweeps import ConfigError

# Where the search for a size that works looks: the usual image sizes.
SIZES = (1, 8, 16, 32, 64, 96, 128, 160, 192, 224, 256, 299, 320, 384, 448, 512, 1024)


def inspect_network(
    build: Callable[[int], nn.Module],
    *,
    name: str,
    channels: int,
    image_size: int,
    classes: int,
    batch_size: int,
    smallest_batch: int,
) -> dict[str, int]:
    """Check that a network can be trained on these images, and measure it.

    Returns its number of `parameters`, and as `forward_macs` the multiply-accumulate operations of convolutions and
    matrix products for one image in evaluation mode.

    `build(image_size)` builds the network; `name` is what messages call it. It must take training batches of
    `smallest_batch` images (an epoch's last batch; `batch_size` is the others' size) [B, channels, image_size,
    image_size] and give one tensor of logits [B, classes], in training as in evaluation mode. Touches neither the
    random state nor a real device.

    Raises `ConfigError` with the layer that fails, the rule and a setting that works.
    """
    try:
        network = _build(build, image_size)
        for mode, batch in (("training", smallest_batch), ("evaluation", 1)):
            network.train(mode == "training")
            with FlopCounterMode(display=False) as counter:
                logits = _forward(network, (batch, channels, image_size, image_size))
            if not isinstance(logits, Tensor):
                raise ConfigError(
                    f"{name} returns {type(logits).__name__} in {mode}, but one tensor of logits [B, {classes}] is "
                    "needed; switch its auxiliary heads off, such as with +model.aux_logits=false"
                )
            if logits.shape != (batch, classes):
                raise ConfigError(
                    f"{name} returns logits {list(logits.shape)} for {batch} images, but the data set has {classes} "
                    f"classes, so [{batch}, {classes}] is needed; use model.num_classes={classes}"
                )
    except _Failed as failure:
        raise _explained(
            failure, name, channels, image_size, batch_size, lambda size: _works(build, channels, size)
        ) from failure.reason
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return {"parameters": parameters, "forward_macs": counter.get_total_flops() // 2}


class _Failed(Exception):
    """A network could not be built or run.

    `layer` is the innermost module that was at work, None where there was none, `shape` that of its input, and `title`
    what messages call it.
    """

    def __init__(
        self, reason: Exception, layer: nn.Module | None = None, shape: tuple[int, ...] = (), title: str = ""
    ) -> None:
        super().__init__(str(reason))
        self.reason, self.layer, self.shape, self.title = reason, layer, shape, title


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
    paths = {module: path for path, module in network.named_modules()}
    running: list[tuple[nn.Module, tuple[int, ...]]] = []  # the last is the innermost

    def enter(module: nn.Module, inputs: tuple[object, ...]) -> None:
        if module in paths:
            first = inputs[0] if inputs else None
            running.append((module, first.shape if isinstance(first, Tensor) else ()))

    def leave(module: nn.Module, inputs: object, output: object) -> None:
        if module in paths:
            running.pop()

    try:
        with register_module_forward_pre_hook(enter), register_module_forward_hook(leave), torch.no_grad():
            return network(torch.empty(shape, device="meta"))
    except Exception as error:
        if not running:
            raise _Failed(error) from error
        layer, input_shape = running[-1]
        alike = [module for module in paths if type(module) is type(layer)]
        title = f"{type(layer).__name__} {alike.index(layer) + 1} of {len(alike)} (layer {paths[layer]})"
        raise _Failed(error, layer, input_shape, title if paths[layer] else "forward pass") from error


def _works(build: Callable[[int], nn.Module], channels: int, image_size: int) -> bool:
    try:
        # Two images, so that the answer is about the size of the images and not of the batch.
        _forward(_build(build, image_size).train(), (2, channels, image_size, image_size))
    except (_Failed, ConfigError):
        return False
    return True


def _explained(
    failure: _Failed, name: str, channels: int, image_size: int, batch_size: int, works: Callable[[int], bool]
) -> ConfigError:
    """What does not fit and what would: the channels, the batch, or else the size of the images."""
    layer, shape = failure.layer, failure.shape
    if isinstance(layer, nn.Conv2d) and len(shape) == 4 and shape[1] == channels != layer.in_channels:
        note = ", which repeats a grey image in each channel" if (channels, layer.in_channels) == (1, 3) else ""
        return ConfigError(
            f"resize.channels={channels} does not fit {name}: its {failure.title} takes {layer.in_channels} channels; "
            f"use resize.channels={layer.in_channels}{note}"
        )
    if isinstance(layer, _BatchNorm) and shape and math.prod(shape) == shape[1]:
        problem = "trains on one image at a time" if batch_size == 1 else "leaves a last batch of 1 image"
        remedy = "trainer.batch_size>=2" if batch_size == 1 else "trainer.drop_last=true, or another trainer.batch_size"
        return ConfigError(
            f"trainer.batch_size={batch_size} {problem}, but {name}'s {failure.title} would see one value per channel "
            f"and needs at least two to normalise in training; use {remedy}"
        )
    size = _nearest_size(image_size, works)
    is_too_small = size is not None and size > image_size
    problem = _problem(failure, is_too_small)
    if size is None and layer is None:
        return ConfigError(f"{name} {problem}; check the arguments of model")
    if size is None:
        return ConfigError(
            f"{name} cannot run with images of {image_size} x {image_size} pixels, nor of any other usual size: "
            f"{problem}; check the arguments of model, or use another network"
        )
    verdict = "is too small for" if is_too_small else "does not suit"
    # A network for one size alone (a transformer) does not work with the next or with the double.
    relation = ">=" if is_too_small and works(size + 1) and works(2 * size) else "="
    return ConfigError(
        f"resize.size={image_size} {verdict} {name}: {problem}; use resize.size{relation}{size} or another network"
    )


def _problem(failure: _Failed, is_too_small: bool) -> str:
    reason = f"{type(failure.reason).__name__}: {' '.join(str(failure.reason).split())}"
    if failure.layer is None:
        return f"cannot be built ({reason})"
    if len(failure.shape) != 4:
        return f"its {failure.title} cannot take an input of {list(failure.shape)} ({reason})"
    height, width = failure.shape[2:]
    kernel = getattr(failure.layer, "kernel_size", None)
    if kernel is not None and is_too_small:
        reason = f"too few for its kernel of {kernel if isinstance(kernel, int) else kernel[0]}"
    return f"its {failure.title} would see {height} x {width} pixels ({reason})"


def _nearest_size(image_size: int, works: Callable[[int], bool]) -> int | None:
    """Return the smallest larger size that works, else a smaller one, else None; builds a few dozen times at most."""
    larger = next((size for size in SIZES if size > image_size and works(size)), None)
    if larger is None:
        return next((size for size in reversed(SIZES) if size < image_size and works(size)), None)
    too_small = max((size for size in SIZES if image_size < size < larger), default=image_size)
    sizes = range(too_small + 1, larger + 1)
    return sizes[bisect.bisect_left(sizes, True, key=works)]
