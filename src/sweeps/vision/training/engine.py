"""The parts of one run, as its loop uses them, and how they compute: precision, memory layout, compilation."""

import importlib.util
import os
import shutil
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from sweeps import ConfigError
from sweeps.vision.data import Batches
from sweeps.vision.training.cuda_graphs import Graphs, can_be_captured
from sweeps.vision.training.metrics import Totals
from sweeps.vision.training.schedules import Schedule

# From this image size on channels_last pays on a CPU: 1.07 (alexnet) to 1.33 (googlenet) times faster on a core at 96
# and 224 pixels, nothing at 28 (lenet_bn). On an H100 it is 1.1 (nin) to 1.9 (resnet18) times faster at every size.
CHANNELS_LAST_FROM = 64

# From this image size on it pays to time all of cudnn's kernels: on an H100 that takes 2 to 5 s for the networks at 224
# pixels and makes every step 12 to 18 % faster; at 96 pixels it takes 2 to 18 s (googlenet) for 4 to 8 %.
BENCHMARK_FROM = 128

_CAPTURING = ("reduce-overhead", "max-autotune")  # modes of torch.compile that record graphs themselves


@dataclass(frozen=True)
class Engine:
    """The choices of one run on one device; `choose` makes them."""

    device: torch.device
    precision: str  # "fp32", "tf32" or "bf16"
    memory_format: torch.memory_format
    compile: str  # "none" or a mode of torch.compile
    capture: str  # "auto", "always" or "never"
    benchmark: bool  # whether cudnn times its kernels

    @classmethod
    def choose(
        cls, device: torch.device, *, precision: str, memory_format: str, compile: str, capture: str, size: int
    ) -> "Engine":
        """What the `auto`s mean here, for images of `size` pixels.

        Raises:
            ConfigError: the device cannot do it.
        """
        if precision == "auto":
            precision = "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "fp32"
        if precision == "tf32" and device.type != "cuda":
            raise ConfigError(f"trainer.precision=tf32 needs an NVIDIA GPU, not {device}; use fp32 or auto")
        if precision == "bf16" and (
            device.type == "mps"
            or (device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False))
        ):
            raise ConfigError(
                f"trainer.precision=bf16 is not supported on {device}; use trainer.precision=auto or fp32"
            )
        pays = device.type == "cuda" or size >= CHANNELS_LAST_FROM
        last = memory_format == "channels_last" or (memory_format == "auto" and pays)
        if compile != "none":
            _require_compiler(device)
        if device.type != "cuda" or compile in _CAPTURING:
            capture = "never"
        layout = torch.channels_last if last else torch.contiguous_format
        return cls(device, precision, layout, compile, capture, benchmark=size >= BENCHMARK_FROM)

    def configure(self) -> None:
        """Set what torch keeps for the whole process."""
        if self.device.type == "cuda":
            fp32 = "tf32" if self.precision == "tf32" else "ieee"
            cudnn: Any = torch.backends.cudnn
            torch.backends.cuda.matmul.fp32_precision = fp32
            cudnn.conv.fp32_precision = cudnn.rnn.fp32_precision = fp32  # torch.export refuses two that differ
            cudnn.benchmark = self.benchmark
        torch.set_flush_denormal(True)  # numbers below 1e-38 cost a CPU a hundred times the others

    def place(self, network: nn.Module) -> nn.Module:
        """The network on the device, in the memory format."""
        return network.to(self.device, memory_format=self.memory_format)  # type: ignore[call-overload, no-any-return]


def _require_compiler(device: torch.device) -> None:
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None and shutil.which("clang++") is None:
        raise ConfigError(f"trainer.compile needs a C++ compiler, and there is no {compiler}; use trainer.compile=none")
    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        raise ConfigError("trainer.compile needs the package triton on CUDA; install it, or use trainer.compile=none")


@dataclass
class Loaders:
    """The batches of each split; `val` is None where no images are held out."""

    train: Batches
    val: Batches | None
    test: Batches


@dataclass
class Training:
    """A network with its optimizer, its images and what is done with them. Nothing here makes the host wait."""

    network: nn.Module
    optimizer: Optimizer
    data: Loaders
    engine: Engine
    schedule: Schedule
    epochs: int
    classes: int
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        mode, capture = self.engine.compile, self.engine.capture
        self._compiled = self.network if mode == "none" else torch.compile(self.network, mode=mode)  # shares weights
        self._compiled_for: torch.Size | None = None
        is_captured = capture == "always" or (capture == "auto" and can_be_captured(self.network))
        self.graphs = Graphs(self) if is_captured else None  # of CUDA, from which the steps are replayed

    def lr(self, epoch: int, step: int = 1) -> float:
        """The learning rate of a step of an epoch, both counted from 1: `optim.lr` times the schedule's factor."""
        steps = self.data.train.steps
        done = (epoch - 1) * steps + step - 1
        base: float = self.optimizer.defaults["lr"]
        return base * self.schedule(done / (self.epochs * steps))

    def forward(self, images: Tensor) -> Tensor:
        """The logits [B, classes] of `images` [B, C, H, W], in single precision whatever they were computed in."""
        if self._compiled_for is None:
            self._compiled_for = images.shape
        # An epoch's last batch is no reason to compile once more, for any shape.
        forward = self._compiled if images.shape == self._compiled_for else self.network
        images = images.contiguous(memory_format=self.engine.memory_format)
        with torch.autocast(self.engine.device.type, torch.bfloat16, enabled=self.engine.precision == "bf16"):
            logits: Tensor = forward(images)
        return logits.float()

    def measure(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The logits and the mean loss [] of a batch, for evaluation; good until the next call."""
        if self.graphs is not None:
            return self.graphs.measure(images, labels)
        logits = self.forward(images)
        return logits, F.cross_entropy(logits, labels)

    def new_totals(self, *, keep_answers: bool = False) -> Totals:
        """Empty sums for one pass over a split."""
        return Totals(self.classes, self.engine.device, keep_answers=keep_answers)
