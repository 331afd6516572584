"""One step moves the weights as its settings say."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sweeps.vision.data import ImageSet
from sweeps.vision.task import evaluate, train_epoch
from sweeps.vision.training import cosine

from .conftest import silent, training_of

IMAGES = ImageSet(
    torch.randint(0, 256, (8, 1, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)),
    torch.arange(8) % 3,
)
PIXELS = IMAGES.images.float() / 255


def linear():
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 3))


def small(network, **options):
    options = {"images": IMAGES, "size": 4, "classes": 3, "lr": 1.0, "memory_format": "contiguous"} | options
    return training_of(network, **options)


def flat(network):
    return nn.utils.parameters_to_vector(network.parameters()).detach().clone()


def movement(**options):
    """How one step moves the weights of a network that starts the same each time."""
    network = linear()
    before = flat(network)
    train_epoch(small(network, **options), 1, silent)
    return flat(network) - before


def test_a_step_is_the_gradient_of_the_mean_loss_times_the_rate():
    network = linear()
    loss = F.cross_entropy(network(PIXELS), IMAGES.labels)
    gradient = torch.cat([part.flatten() for part in torch.autograd.grad(loss, network.parameters())])
    assert torch.allclose(movement(lr=0.5), -0.5 * gradient, rtol=1e-4, atol=1e-6)


def test_a_long_gradient_is_cut_to_the_norm_and_keeps_its_direction():
    free, cut = movement(), movement(clip_norm=0.25)
    assert free.norm() > 0.3
    assert cut.norm().item() == pytest.approx(0.25, rel=1e-3)
    assert F.cosine_similarity(free, cut, dim=0).item() == pytest.approx(1, abs=1e-5)


def test_a_short_gradient_is_left_as_it_is():
    assert torch.equal(movement(clip_norm=1e6), movement())


def test_gradients_do_not_add_up_over_steps():
    network, fresh = linear(), linear()
    for _ in range(3):
        train_epoch(small(network, lr=0.0), 1, silent)
    train_epoch(small(fresh, lr=0.0), 1, silent)
    for one, other in zip(network.parameters(), fresh.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad)


def test_the_rate_follows_the_schedule_step_by_step():
    training = small(linear(), lr=0.1, schedule=cosine(warmup=0.5), batch_size=4, epochs=2)
    rates = []
    for epoch in (1, 2):
        assert training.lr(epoch) == training.lr(epoch, 1)
        train_epoch(training, epoch, lambda *_: rates.append(training.optimizer.param_groups[0]["lr"]))
    assert rates == pytest.approx([0.0, 0.05, 0.1, 0.05])


def test_measuring_moves_nothing():
    network = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(16), nn.Linear(16, 3))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    measured = evaluate(small(network), "test", 1, silent)
    with torch.inference_mode():
        expected = F.cross_entropy(network.eval()(PIXELS), IMAGES.labels)
    assert measured.read().loss == pytest.approx(float(expected), rel=1e-5)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])


def test_training_says_the_loss_before_the_step():
    network = linear()
    expected = F.cross_entropy(network(PIXELS), IMAGES.labels).item()
    sums = train_epoch(small(network), 1, silent)
    assert sums.read().loss == pytest.approx(expected, rel=1e-5)
    assert sums.examples == 8
