"""Networks stay stackable and exportable: nothing in place, nothing that depends on the data."""

import pytest
import torch
from torch import nn

from sweeps.vision import models

# Small relatives, where a test needs numbers and not the book's widths.
SMALL = {
    "alexnet": {"image_size": 65},
    "vgg11": {"image_size": 32, "width_divisor": 32},
    "nin": {"image_size": 67, "blocks": [[8, 11, 4, 0], [8, 5, 1, 2], [8, 3, 1, 1]]},
    "googlenet": {"image_size": 32, "stages": [[[8, 4, 8, 4, 8, 8]], [[8, 4, 8, 4, 8, 8]] * 2]},
    "lenet_bn": {"image_size": 28},
    "resnet18": {"image_size": 32, "stages": [[1, 8], [2, 16]]},
    "densenet": {"image_size": 32, "blocks": [2, 2], "growth_rate": 8},
}


@pytest.mark.parametrize("name", SMALL)
def test_no_activation_is_changed_in_place(name):
    """A pre-activation that a hook has seen is still the same after the forward pass."""
    torch.manual_seed(0)
    network = getattr(models, name)(**SMALL[name])
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    for layer in network.modules():
        layer.register_forward_hook(lambda _, inputs, output: seen.append((output, output.clone())))
    size = SMALL[name]["image_size"]
    with torch.no_grad():
        network(torch.rand(2, 1, size, size))
    assert all(torch.equal(now, before) for now, before in seen)


@pytest.mark.parametrize("name", [name for name in SMALL if name != "alexnet"])
def test_stacked_networks_compute_what_each_computes_alone(name):
    torch.manual_seed(0)
    networks = [getattr(models, name)(**SMALL[name]) for _ in range(2)]
    for network in networks:
        network.train()
        for layer in network.modules():
            if isinstance(layer, nn.Dropout):
                layer.p = 0.0
    size = SMALL[name]["image_size"]
    images = torch.rand(3, 1, size, size)
    parameters, buffers = torch.func.stack_module_state(networks)

    def run(parameters, buffers):
        return torch.func.functional_call(networks[0], (parameters, buffers), (images,))

    stacked = torch.func.vmap(run, randomness="different")(parameters, buffers)
    alone = torch.stack([network(images) for network in networks])
    torch.testing.assert_close(stacked, alone, rtol=1e-4, atol=1e-5)
    running = dict(networks[1].named_buffers())
    for path, buffer in buffers.items():
        torch.testing.assert_close(buffer[1], running[path], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SMALL)
def test_networks_can_be_exported(name):
    size = SMALL[name]["image_size"]
    with torch.device("meta"):
        network = getattr(models, name)(**SMALL[name])
    program = torch.export.export(network.eval(), (torch.empty(2, 1, size, size, device="meta"),))
    (logits,) = program.graph.output_node().args[0]
    assert list(logits.meta["val"].shape) == [2, 10]
