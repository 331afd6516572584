"""GoogLeNet: blocks of four parallel branches."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sweeps.vision.models.blocks import stages as checked_stages

# One row per inception block, in stages with a pool between them: the output channels (k1, k3_reduce, k3, k5_reduce,
# k5, pool) of table 1 of the paper.
GOOGLENET = (
    (
        (64, 96, 128, 16, 32, 32),
        (128, 128, 192, 32, 96, 64),
    ),
    (
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
    ),
    (
        (256, 160, 320, 32, 128, 128),
        (384, 192, 384, 48, 128, 128),
    ),
)


class Inception(nn.Module):
    """Four branches side by side: [B, in_channels, H, W] -> [B, k1 + k3 + k5 + pool, H, W].

    The branches are a 1 x 1 convolution; 1 x 1 to `k3_reduce` channels, then 3 x 3; 1 x 1 to `k5_reduce` channels,
    then 5 x 5; a pool, then 1 x 1.
    """

    def __init__(self, in_channels: int, k1: int, k3_reduce: int, k3: int, k5_reduce: int, k5: int, pool: int) -> None:
        super().__init__()
        self.out_channels = k1 + k3 + k5 + pool
        self.branches = nn.ModuleList(
            (
                nn.Sequential(nn.Conv2d(in_channels, k1, 1), nn.ReLU()),
                nn.Sequential(
                    nn.Conv2d(in_channels, k3_reduce, 1),
                    nn.ReLU(),
                    nn.Conv2d(k3_reduce, k3, 3, padding=1),
                    nn.ReLU(),
                ),
                nn.Sequential(
                    nn.Conv2d(in_channels, k5_reduce, 1),
                    nn.ReLU(),
                    nn.Conv2d(k5_reduce, k5, 5, padding=2),
                    nn.ReLU(),
                ),
                nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), nn.Conv2d(in_channels, pool, 1), nn.ReLU()),
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], dim=1)


def googlenet(
    *,
    in_channels: int = 1,
    num_classes: int = 10,
    image_size: int = 96,
    stages: Sequence[Sequence[Sequence[int]]] = GOOGLENET,
) -> nn.Module:
    """Build GoogLeNet: images [B, in_channels, image_size, image_size] -> logits [B, num_classes].

    `stages` is a list of stages, each a list of inception blocks (k1, k3_reduce, k3, k5_reduce, k5, pool), in
    channels; the image is halved between stages. The weights do not depend on `image_size`.

    Source: Szegedy et al., "Going Deeper with Convolutions" (2015), without normalisation and auxiliary heads.
    """
    tables = checked_stages("model.stages", stages, k1=1, k3_reduce=1, k3=1, k5_reduce=1, k5=1, pool=1)
    # B batch; sizes are those of a 96 x 96 image.
    layers: list[nn.Module] = [
        nn.Conv2d(in_channels, 64, 7, stride=2, padding=3),  # [B, 64, 48, 48]
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2, padding=1),  # [B, 64, 24, 24]
        nn.Conv2d(64, 64, 1),
        nn.ReLU(),
        nn.Conv2d(64, 192, 3, padding=1),  # [B, 192, 24, 24]
        nn.ReLU(),
    ]
    width = 192
    for stage in tables:  # [B, 192, 12, 12], [B, 480, 6, 6], [B, 832, 3, 3]
        layers.append(nn.MaxPool2d(3, stride=2, padding=1))
        for row in stage:
            block = Inception(width, *row)
            layers.append(block)
            width = block.out_channels
    return nn.Sequential(
        *layers,  # [B, 1024, 3, 3]
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),  # [B, 1024]
        nn.Linear(width, num_classes),  # [B, num_classes]
    )
