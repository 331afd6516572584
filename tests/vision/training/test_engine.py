"""Precision and memory layout change how it is computed, not what."""

import math

import pytest
import torch

from sweeps.errors import ConfigError
from sweeps.vision import models
from sweeps.vision.training.engine import Engine
from sweeps.vision.training.metrics import Totals
from sweeps.vision.training.schedules import constant
from sweeps.vision.training.step import Step

CPU = torch.device("cpu")


def losses(steps: int = 20, **choices: str) -> list[float]:
    """The loss of each of the first `steps` of a small ResNet on one batch of noise."""
    engine = Engine.choose(
        CPU,
        **{"precision": "fp32", "memory_format": "auto", "compile": "none", "capture": "auto", "size": 64, **choices},
    )
    torch.manual_seed(0)
    network = models.resnet18(image_size=64, stages=[[1, 8], [1, 16]])
    models.initialize(network, "xavier")
    network = engine.place(network)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.005)
    step = Step(network, optimizer, engine=engine, schedule=constant(), total_steps=steps)
    images, labels = torch.rand(32, 1, 64, 64), torch.arange(32) % 10
    found = []
    for _ in range(steps):
        totals = Totals(10, CPU)
        step.train(images, labels, totals)
        found.append(totals.read().loss)
    assert found[-1] < found[0]
    return found


def test_the_memory_layout_changes_the_loss_by_rounding_alone() -> None:
    assert losses(memory_format="channels_last") == pytest.approx(losses(memory_format="contiguous"), rel=1e-3)


def test_bf16_stays_within_its_three_digits() -> None:
    assert losses(precision="bf16") == pytest.approx(losses(), rel=0.05)


@pytest.mark.slow
def test_compiled_is_eager_within_rounding() -> None:
    assert losses(steps=5, compile="default") == pytest.approx(losses(steps=5), rel=1e-3)


def test_auto_is_fp32_and_channels_last_from_64_pixels_on_a_cpu() -> None:
    def auto(size: int) -> Engine:
        return Engine.choose(CPU, precision="auto", memory_format="auto", compile="none", capture="auto", size=size)

    assert auto(96).describe() == {"precision": "fp32", "memory_format": "channels_last", "compile": "none"}
    assert auto(28).describe() == {"precision": "fp32", "memory_format": "contiguous_format", "compile": "none"}


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
    device = torch.device("cuda")
    engine = Engine.choose(device, precision="auto", memory_format="auto", compile="none", capture="auto", size=64)
    engine.configure()
    network = engine.place(models.resnet18(image_size=64))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, fused=True)
    step = Step(network, optimizer, engine=engine, schedule=constant(), total_steps=8)
    totals = Totals(10, device)
    images, labels = torch.rand(8, 1, 64, 64, device=device), torch.arange(8, device=device)
    step.train(images, labels, totals)  # cudnn chooses its kernels, which waits
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(5):
            step.train(images, labels, totals)
            totals.peek()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert math.isfinite(totals.read().loss)
