"""How the weights of a network begin."""

from torch import nn


def initialize(network: nn.Module, scheme: str) -> None:
    """Draw new weights, in place, for every convolution and linear layer; all other layers stay as built.

    - `xavier`: uniform in +-sqrt(6 / (fan_in + fan_out)), biases 0 (Glorot, Bengio, 2010).
    - `kaiming`: normal with standard deviation sqrt(2 / fan_in), biases 0 (He et al., 2015); meant for ReLU.
    - `default`: what the network's constructor did: its authors' scheme, or the trained weights that it loaded.

    Draws from torch's global generator.
    """
    if scheme == "default":
        return
    for layer in network.modules():
        if isinstance(layer, nn.modules.conv._ConvNd | nn.Linear):
            if scheme == "xavier":
                nn.init.xavier_uniform_(layer.weight)
            else:
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
