"""BatchNorm statistics measured anew: right while they are used, gone afterwards."""

import pytest
import torch
from torch import nn

from sweeps.vision.training.engine import Engine
from sweeps.vision.training.reestimate import reestimated
from sweeps.vision.training.schedules import constant
from sweeps.vision.training.step import Step


@pytest.fixture
def step() -> Step:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Dropout(0.5), nn.Flatten(), nn.Linear(108, 2))
    engine = Engine.choose(
        torch.device("cpu"), precision="fp32", memory_format="auto", compile="none", capture="auto", size=8
    )
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    return Step(network, optimizer, engine=engine, schedule=constant(), total_steps=1)


def test_the_statistics_are_those_of_the_batches_and_the_old_ones_come_back(step: Step) -> None:
    layer = step.network[1]
    layer.running_mean.fill_(7.0)
    before = {name: value.clone() for name, value in step.network.state_dict().items()}
    batches = [(torch.rand(4, 1, 8, 8), torch.zeros(4, dtype=torch.int64)) for _ in range(5)]
    with reestimated(step, iter(batches), 3):
        seen = torch.stack([step.network[0](images).mean(dim=(0, 2, 3)) for images, _ in batches[:3]]).mean(dim=0)
        torch.testing.assert_close(layer.running_mean, seen)
        assert not any(module.training for module in step.network.modules())
    assert all(torch.equal(value, before[name]) for name, value in step.network.state_dict().items())
    assert layer.momentum == 0.1


def test_no_random_number_is_drawn(step: Step) -> None:
    state = torch.get_rng_state()
    with reestimated(step, iter([(torch.rand(4, 1, 8, 8, generator=torch.Generator()), torch.zeros(4))]), 1):
        pass
    assert torch.equal(torch.get_rng_state(), state)


def test_the_old_statistics_come_back_after_an_error(step: Step) -> None:
    before = step.network[1].running_mean.clone()
    with pytest.raises(RuntimeError, match="stop"), reestimated(step, iter([(torch.rand(4, 1, 8, 8), None)]), 1):
        raise RuntimeError("stop")
    assert torch.equal(step.network[1].running_mean, before)
