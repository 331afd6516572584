"""One step moves the weights as its settings say."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sweeps.vision.training import Engine, Step, Totals, constant, cosine, step


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    return torch.rand(8, 1, 4, 4, generator=generator) * 20, torch.arange(8) % 3


def linear():
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 3))


def step_of(network, *, lr=1.0, schedule=None, **options):
    optimizer = torch.optim.SGD(network.parameters(), lr=lr)
    plain = {"precision": "fp32", "memory_format": "contiguous", "compile": "none", "capture": "auto"}
    engine = Engine.choose(torch.device("cpu"), size=4, **plain)
    return Step(network, optimizer, engine=engine, schedule=schedule or constant(), **{"total_steps": 10} | options)


def totals():
    return Totals(3, torch.device("cpu"))


def flat(network):
    return nn.utils.parameters_to_vector(network.parameters()).detach().clone()


def movement(batch, **options):
    """How one step moves the weights of a network that starts the same each time."""
    network = linear()
    before = flat(network)
    step_of(network, **options).train(*batch, totals())
    return flat(network) - before


def test_a_step_is_the_gradient_of_the_mean_loss_times_the_rate(batch):
    network = linear()
    loss = F.cross_entropy(network(batch[0]), batch[1])
    gradient = torch.cat([part.flatten() for part in torch.autograd.grad(loss, network.parameters())])
    assert torch.allclose(movement(batch, lr=0.5), -0.5 * gradient, rtol=1e-4, atol=1e-6)


def test_a_long_gradient_is_cut_to_the_norm_and_keeps_its_direction(batch):
    free, cut = movement(batch), movement(batch, clip_norm=0.25)
    assert free.norm() > 1
    assert cut.norm().item() == pytest.approx(0.25, rel=1e-3)
    assert F.cosine_similarity(free, cut, dim=0).item() == pytest.approx(1, abs=1e-5)


def test_a_short_gradient_is_left_as_it_is(batch):
    assert torch.allclose(movement(batch, clip_norm=1e6), movement(batch))


def test_gradients_do_not_add_up_over_steps(batch):
    network = linear()
    one = step_of(network, lr=0.0)
    for _ in range(3):
        one.train(*batch, totals())
    gradients = [parameter.grad.clone() for parameter in network.parameters()]
    fresh = linear()
    step_of(fresh, lr=0.0).train(*batch, totals())
    for gradient, parameter in zip(gradients, fresh.parameters(), strict=True):
        assert torch.equal(gradient, parameter.grad)


def test_the_rate_follows_the_schedule_step_by_step(batch):
    network = linear()
    one = step_of(network, lr=0.1, schedule=cosine(warmup=0.5), total_steps=4)
    rates = []
    for _ in range(4):
        announced = one.lr
        one.train(*batch, totals())
        (group,) = one.optimizer.param_groups
        assert group["lr"] == announced
        rates.append(announced)
    assert rates == pytest.approx([0.0, 0.05, 0.1, 0.05])
    assert one.steps == 4


def test_a_step_that_is_put_forward_goes_on_in_the_schedule():
    one = step_of(linear(), lr=0.1, schedule=step(milestones=[0.5], gamma=0.1), total_steps=10)
    assert one.lr == pytest.approx(0.1)
    one.steps = 5
    assert one.lr == pytest.approx(0.01)


def test_measuring_moves_nothing(batch):
    network = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(16), nn.Linear(16, 3)).eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    one = step_of(network)
    measured = totals()
    with torch.inference_mode():
        one.evaluate(*batch, measured)
        expected = F.cross_entropy(network(batch[0]), batch[1])
    assert one.steps == 0
    assert measured.read().loss == pytest.approx(float(expected), rel=1e-5)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])


def test_training_tells_the_loss_before_the_step(batch):
    network = linear()
    expected = F.cross_entropy(network(batch[0]), batch[1]).item()
    told = totals()
    step_of(network).train(*batch, told)
    assert told.read().loss == pytest.approx(expected, rel=1e-5)
    assert told.examples == 8
