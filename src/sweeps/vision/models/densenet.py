"""DenseNet: every layer sees the outputs of all layers before it."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sweeps.vision.models.blocks import Stem, whole_number, whole_numbers

# Layers per dense block.
DENSENET = (4, 4, 4, 4)


class DenseLayer(nn.Module):
    """Joins its output to its input: [B, in_channels, H, W] -> [B, in_channels + growth_rate, H, W]."""

    def __init__(self, in_channels: int, growth_rate: int) -> None:
        super().__init__()
        self.layer = nn.Sequential(
            nn.BatchNorm2d(in_channels), nn.ReLU(), nn.Conv2d(in_channels, growth_rate, 3, padding=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.layer(x)], dim=1)


class Transition(nn.Sequential):
    """Halves channels and image between dense blocks: [B, C, H, W] -> [B, C/2, H/2, W/2], rounded down."""

    def __init__(self, in_channels: int) -> None:
        super().__init__(
            nn.BatchNorm2d(in_channels),
            nn.ReLU(),
            nn.Conv2d(in_channels, in_channels // 2, 1),
            nn.AvgPool2d(2, stride=2),
        )


def densenet(
    *,
    in_channels: int = 1,
    num_classes: int = 10,
    image_size: int = 96,
    blocks: Sequence[int] = DENSENET,
    growth_rate: int = 32,
) -> nn.Module:
    """Build DenseNet: images [B, in_channels, image_size, image_size] -> logits [B, num_classes].

    `blocks` are the layers per dense block, `growth_rate` is the number of channels that each layer adds. Every
    transition between blocks halves the image, so that four blocks need 29 pixels. The weights do not depend on
    `image_size`.

    Source: Huang et al., "Densely Connected Convolutional Networks" (2017), without bottleneck layers.
    """
    counts = whole_numbers("model.blocks", blocks)
    growth = whole_number("model.growth_rate", growth_rate)
    # B batch; sizes are those of a 96 x 96 image.
    width = 64
    network: list[nn.Module] = [Stem(in_channels, width)]  # [B, 64, 24, 24]
    for block, layers in enumerate(counts):  # [B, 192, 24, 24], [B, 224, 12, 12], [B, 240, 6, 6]
        if block > 0:
            network.append(Transition(width))
            width //= 2
        for _ in range(layers):
            network.append(DenseLayer(width, growth))
            width += growth
    return nn.Sequential(
        *network,  # [B, 248, 3, 3]
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),  # [B, 248]
        nn.Linear(width, num_classes),  # [B, num_classes]
    )
