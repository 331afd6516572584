"""ResNet-18: blocks that learn the difference from their input."""

from collections.abc import Sequence

from torch import Tensor, nn

from sweeps.vision.models.blocks import Stem, table

# (residual blocks, channels) per stage: the 18-layer column of table 1 of the paper.
RESNET18 = ((2, 64), (2, 128), (2, 256), (2, 512))


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut: [B, in_channels, H, W] -> [B, channels, H/stride, W/stride].

    The shortcut is the identity where the shape stays, else a 1 x 1 convolution without BatchNorm.
    """

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(in_channels, channels, 3, stride=stride, padding=1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.BatchNorm2d(channels),
        )
        same_shape = stride == 1 and in_channels == channels
        self.shortcut = nn.Identity() if same_shape else nn.Conv2d(in_channels, channels, 1, stride=stride)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.relu(self.residual(x) + self.shortcut(x))
        return out


def resnet18(
    *,
    in_channels: int = 1,
    num_classes: int = 10,
    image_size: int = 96,
    stages: Sequence[Sequence[int]] = RESNET18,
) -> nn.Module:
    """Build ResNet-18: images [B, in_channels, image_size, image_size] -> logits [B, num_classes].

    `stages` has a row (residual blocks, channels) per stage; every stage but the first halves the image. The weights
    do not depend on `image_size`.

    Source: He et al., "Deep Residual Learning for Image Recognition" (2016).
    """
    rows = table("model.stages", stages, blocks=1, channels=1)
    # B batch; sizes are those of a 96 x 96 image.
    width = 64
    layers: list[nn.Module] = [Stem(in_channels, width)]  # [B, 64, 24, 24]
    for stage, (blocks, channels) in enumerate(rows):  # [B, 64, 24, 24], [B, 128, 12, 12], [B, 256, 6, 6]
        for block in range(blocks):
            stride = 2 if stage > 0 and block == 0 else 1
            layers.append(ResidualBlock(width, channels, stride))
            width = channels
    return nn.Sequential(
        *layers,  # [B, 512, 3, 3]
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),  # [B, 512]
        nn.Linear(width, num_classes),  # [B, num_classes]
    )
