"""Precision and memory layout change how it is computed, not what."""

import math

import pytest
import torch

from sweeps import ConfigError
from sweeps.vision import models
from sweeps.vision.task import epoch_function, train_epoch
from sweeps.vision.training.engine import Engine

from .conftest import silent, training_of

CPU = torch.device("cpu")


def losses(epochs: int = 20, **choices: str) -> list[float]:
    """The losses of a small ResNet on one batch of noise, which is an epoch."""
    torch.manual_seed(0)
    network = models.resnet18(image_size=64, stages=[[1, 8], [1, 16]])
    models.initialize(network, "xavier")
    training = training_of(network, size=64, batch_size=32, lr=0.005, epochs=epochs, **choices)
    found = [train_epoch(training, epoch, silent).read().loss for epoch in range(1, epochs + 1)]
    assert found[-1] < found[0]
    return found


def test_the_memory_layout_changes_the_loss_by_rounding_alone() -> None:
    assert losses(memory_format="channels_last") == pytest.approx(losses(memory_format="contiguous"), rel=1e-3)


def test_bf16_stays_within_its_three_digits() -> None:
    assert losses(precision="bf16") == pytest.approx(losses(), rel=0.05)


@pytest.mark.slow
def test_compiled_is_eager_within_rounding() -> None:
    assert losses(epochs=5, compile="default") == pytest.approx(losses(epochs=5), rel=1e-3)


def test_auto_is_fp32_and_channels_last_from_64_pixels_on_a_cpu() -> None:
    def auto(size: int) -> Engine:
        return Engine.choose(CPU, precision="auto", memory_format="auto", compile="none", capture="auto", size=size)

    assert (auto(96).precision, auto(96).memory_format) == ("fp32", torch.channels_last)
    assert (auto(28).precision, auto(28).memory_format) == ("fp32", torch.contiguous_format)


@pytest.mark.parametrize(
    ("choice", "message"), [({"precision": "tf32"}, "NVIDIA"), ({"compile": "default"}, "compiler")]
)
def test_what_the_machine_cannot_do_is_refused(choice, message, monkeypatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match=message):
        losses(**choice)


def test_denormals_are_flushed() -> None:
    Engine.choose(CPU, precision="fp32", memory_format="auto", compile="none", capture="auto", size=28).configure()
    assert (torch.tensor([1e-39]) * 1.0).item() == 0.0
    assert not math.isclose((torch.tensor([1e-37]) * 1.0).item(), 0.0, abs_tol=1e-38)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_an_epoch_never_waits_for_the_device() -> None:
    training = training_of(models.resnet18(image_size=64), device="cuda", precision="auto", size=64, epochs=3)
    order = training.data.train.order(1)
    training.data.train.order = lambda epoch: order  # the permutation of an epoch is drawn on the host
    epoch_function(training)(training, 1, silent)  # cudnn chooses its kernels, which waits
    torch.cuda.set_sync_debug_mode("error")
    try:
        totals = epoch_function(training)(training, 2, lambda name, epoch, done, count, totals: totals.peek())
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert math.isfinite(totals.read().loss)
