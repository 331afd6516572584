"""A captured step does what an eager one does."""

import math
from contextlib import contextmanager

import pytest
import torch
from torch import nn

from sweeps.vision import models
from sweeps.vision.data import Batches
from sweeps.vision.task import epoch_function, evaluate
from sweeps.vision.training.cuda_graphs import can_be_captured
from sweeps.vision.training.engine import Training
from sweeps.vision.training.metrics import Totals
from sweeps.vision.training.reestimate import reestimated

from .conftest import silent, training_of

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


class OwnLayer(nn.Module):
    """A module that nobody vouches for."""


def test_a_network_of_known_modules_can_be_captured_and_one_of_others_is_left_alone() -> None:
    assert can_be_captured(models.lenet_bn())
    assert can_be_captured(nn.Sequential(nn.Linear(2, 2), nn.Dropout()))
    assert not can_be_captured(nn.Sequential(nn.Linear(2, 2), OwnLayer()))


@pytest.mark.parametrize("capture", ["auto", "always"])
def test_a_cpu_captures_nothing(capture: str) -> None:
    assert of_lenet("cpu", capture).graphs is None


def of_lenet(device: str, capture: str, **options: object) -> Training:
    torch.manual_seed(0)
    network = models.lenet_bn()
    models.initialize(network, "xavier")
    options = {"count": 7 * 32 - 25, "batch_size": 32, "lr": 0.05, "momentum": 0.9} | options  # the last batch has 7
    return training_of(network, device=device, capture=capture, clip_norm=5.0, epochs=3, **options)


def trained(training: Training, epochs: int = 3) -> tuple[list[float], list[float]]:
    """The training losses and the evaluation losses of each epoch."""
    losses, tests = [], []
    for epoch in range(1, epochs + 1):
        torch.manual_seed(epoch)
        losses.append(epoch_function(training)(training, epoch, silent).read().loss)
        tests.append(evaluate(training, "test", epoch, silent).read().loss)
    return losses, tests


@pytest.mark.gpu
@needs_cuda
def test_a_captured_network_learns_what_an_eager_one_does() -> None:
    captured = of_lenet("cuda", "auto")
    losses, tests = trained(captured)
    assert captured.graphs is not None
    assert captured.graphs.gradients.is_recorded
    expected, expected_tests = trained(of_lenet("cuda", "never"))
    assert losses == pytest.approx(expected, rel=1e-3)
    assert tests == pytest.approx(expected_tests, rel=1e-3)


@pytest.mark.gpu
@needs_cuda
def test_dropout_is_drawn_anew_for_every_replay_and_follows_the_seed() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(784, 10))
    training = training_of(network, device="cuda", capture="always", lr=0.0)
    assert training.graphs is not None
    images, labels = torch.rand(16, 1, 28, 28, device="cuda"), torch.arange(16, device="cuda") % 10
    losses = []
    for number in range(12):
        torch.manual_seed(number % 6)
        losses.append(training.graphs.gradients(images, labels)[1].item())
    assert len(set(losses[6:])) == 6
    assert losses[6:] == pytest.approx(losses[:6], rel=1e-5)


class Stubborn(nn.Module):
    """A layer that asks the device for a number, which no graph can do."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images * (1.0 if images.sum().item() > -1 else 0.0)


@pytest.mark.gpu
@needs_cuda
def test_what_cannot_be_recorded_is_trained_without_a_graph(caplog) -> None:
    def training_with(capture: str, *layers: nn.Module) -> Training:
        torch.manual_seed(0)
        network = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.5), nn.Linear(784, 10))
        return training_of(network, device="cuda", capture=capture, lr=0.05, count=100, epochs=2)

    stubborn = trained(training_with("always", Stubborn()), 2)
    assert "trainer.capture=never" in caplog.text
    assert stubborn == trained(training_with("never"), 2)
    assert trained(training_with("always"), 2)[0] == pytest.approx(stubborn[0], rel=1e-3)  # the next one is recorded


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize("capture", ["auto", "never"])
def test_an_epoch_waits_for_the_device_only_between_its_passes(mini, monkeypatch, capture: str) -> None:
    @contextmanager
    def waiting_is_allowed():
        before = torch.cuda.get_sync_debug_mode()
        torch.cuda.set_sync_debug_mode("default")
        yield
        torch.cuda.set_sync_debug_mode(before)

    def allowed(function):
        def call(*arguments):
            with waiting_is_allowed():
                return function(*arguments)

        return call

    monkeypatch.setattr(Totals, "read", allowed(Totals.read))
    monkeypatch.setattr(Batches, "order", allowed(Batches.order))
    training = of_lenet("cuda", capture, images=mini.train, batch_size=64, test=mini.test)

    def one_epoch(number: int) -> tuple[float, float]:
        totals = epoch_function(training)(training, number, lambda *passed: passed[-1].peek())
        totals.begin_part()
        with reestimated(training, number, 3):
            measured = evaluate(training, "test", number, silent)
        return totals.read().acc, measured.read().loss

    one_epoch(1)  # kernels are chosen and graphs recorded, which waits
    one_epoch(2)
    torch.cuda.set_sync_debug_mode("error")
    try:
        accuracy, loss = one_epoch(3)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert math.isfinite(loss)
    assert accuracy > 0.3
