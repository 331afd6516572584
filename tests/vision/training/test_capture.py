"""A captured step does what an eager one does."""

import math
from contextlib import contextmanager

import pytest
import torch
from torch import nn

from sweeps.progress import Progress
from sweeps.vision import models
from sweeps.vision.data import Batches
from sweeps.vision.training import Engine, Loaders, Step, Totals, constant, run_epochs
from sweeps.vision.training.cuda_graphs import Captured, can_be_captured

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


class OwnLayer(nn.Module):
    """A module that nobody vouches for."""


def test_a_network_of_known_modules_can_be_captured_and_one_of_others_is_left_alone() -> None:
    assert can_be_captured(models.lenet_bn())
    assert can_be_captured(nn.Sequential(nn.Linear(2, 2), nn.Dropout()))
    assert not can_be_captured(nn.Sequential(nn.Linear(2, 2), OwnLayer()))


@pytest.mark.parametrize("capture", ["auto", "always"])
def test_a_cpu_captures_nothing(capture: str) -> None:
    assert step_of("lenet_bn", "cpu", capture).engine.capture == "never"


def step_of(model: str, device: str, capture: str, *, size: int = 28, compile: str = "none", **network: object) -> Step:
    engine = Engine.choose(
        torch.device(device), precision="fp32", memory_format="auto", compile=compile, capture=capture, size=size
    )
    engine.configure()
    torch.manual_seed(0)
    made = getattr(models, model)(image_size=size, **network)
    models.initialize(made, "xavier")
    made = engine.place(made)
    optimizer = torch.optim.SGD(made.parameters(), lr=0.05, momentum=0.9, fused=device == "cuda")
    return Step(made, optimizer, engine=engine, schedule=constant(), total_steps=100, clip_norm=5.0)


SIZES = [32] * 6 + [7] + [32] * 4 + [7, 32, 32]  # as epochs have them: the last batch is smaller


def trained(step: Step, seed: int = 3) -> tuple[list[float], list[float]]:
    """The training losses of a step over batches of `SIZES`, and evaluation losses in between."""
    device = step.engine.device
    generator = torch.Generator().manual_seed(seed)
    losses, tests = [], []
    for number, count in enumerate(SIZES):
        images = torch.rand(count, 1, 28, 28, generator=generator).to(device)
        labels = torch.randint(0, 10, (count,), generator=generator).to(device)
        torch.manual_seed(number)
        step.network.train()
        totals = Totals(10, device)
        step.train(images, labels, totals)
        losses.append(totals.read().loss)
        step.network.eval()
        with torch.inference_mode():
            totals = Totals(10, device)
            step.evaluate(images, labels, totals)
            tests.append(totals.read().loss)
    return losses, tests


@pytest.mark.gpu
@needs_cuda
def test_a_captured_network_learns_what_an_eager_one_does() -> None:
    captured, eager = step_of("lenet_bn", "cuda", "auto"), step_of("lenet_bn", "cuda", "never")
    losses, tests = trained(captured)
    assert isinstance(captured._gradients, Captured)
    assert captured._gradients.is_recorded
    expected, expected_tests = trained(eager)
    assert losses == pytest.approx(expected, rel=1e-3)
    assert tests == pytest.approx(expected_tests, rel=1e-3)


@pytest.mark.gpu
@needs_cuda
def test_dropout_is_drawn_anew_for_every_replay_and_follows_the_seed() -> None:
    engine = Engine.choose(
        torch.device("cuda"), precision="fp32", memory_format="auto", compile="none", capture="always", size=28
    )
    network = engine.place(nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(784, 10)))
    step = Step(
        network,
        torch.optim.SGD(network.parameters(), lr=0.0),
        engine=engine,
        schedule=constant(),
        total_steps=9,
    )
    images, labels = torch.rand(16, 1, 28, 28, device="cuda"), torch.arange(16, device="cuda") % 10
    losses = []
    for number in range(12):
        torch.manual_seed(number % 6)
        losses.append(step.move(images, labels)[1].item())
    assert len(set(losses[6:])) == 6
    assert losses[6:] == pytest.approx(losses[:6], rel=1e-5)


class Stubborn(nn.Module):
    """A layer that asks the device for a number, which no graph can do."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images * (1.0 if images.sum().item() > -1 else 0.0)


@pytest.mark.gpu
@needs_cuda
def test_what_cannot_be_recorded_goes_on_without_a_graph(caplog) -> None:
    def step_with(capture: str, *layers: nn.Module) -> Step:
        engine = Engine.choose(
            torch.device("cuda"), precision="fp32", memory_format="auto", compile="none", capture=capture, size=28
        )
        torch.manual_seed(0)
        network = engine.place(nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.5), nn.Linear(784, 10)))
        optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
        return Step(network, optimizer, engine=engine, schedule=constant(), total_steps=100)

    stubborn = trained(step_with("always", Stubborn()))
    assert "trainer.capture=never" in caplog.text
    assert stubborn == trained(step_with("never"))
    assert trained(step_with("always"))[0] == pytest.approx(stubborn[0], rel=1e-3)  # the next run is recorded again


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize("capture", ["auto", "never"])
def test_an_epoch_waits_for_the_device_only_between_its_passes(mini, capture: str) -> None:
    step, mode = step_of("lenet_bn", "cuda", capture), "default"

    @contextmanager
    def waiting_is_allowed():
        torch.cuda.set_sync_debug_mode("default")
        yield
        torch.cuda.set_sync_debug_mode(mode)

    class WatchedTotals(Totals):
        def read(self):
            with waiting_is_allowed():
                return super().read()

    class WatchedBatches(Batches):
        def order(self, epoch):
            with waiting_is_allowed():
                return super().order(epoch)

    def batches(images):
        return WatchedBatches(images.to("cuda"), batch_size=64, size=28, channels=1)

    data = Loaders(batches(mini.train), None, batches(mini.test))

    def epoch(number):
        rows = run_epochs(
            step,
            data,
            epochs=range(number, number + 1),
            seed=0,
            evaluate_train=True,
            bn_reestimate=3,
            new_totals=lambda: WatchedTotals(10, step.engine.device),
            progress=Progress(),
        )
        return next(rows)[0]

    epoch(1)  # kernels are chosen and graphs recorded, which waits
    mode = "error"
    torch.cuda.set_sync_debug_mode(mode)
    try:
        row = epoch(2)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert math.isfinite(row["test_bn_loss"])
    assert row["train_acc"] > 0.3
