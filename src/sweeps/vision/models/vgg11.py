"""VGG-11: blocks of 3 x 3 convolutions, each halving the image."""

from collections.abc import Sequence

from torch import nn

from sweeps import ConfigError
from sweeps.vision.models.blocks import dropout_rate, spatial_size, table, whole_number

# (convolutions, channels) per block: configuration A of the paper.
VGG11 = ((1, 64), (1, 128), (2, 256), (2, 512), (2, 512))


class VggBlock(nn.Sequential):
    """Convolutions of one width, then a pool: [B, in_channels, H, W] -> [B, channels, H/2, W/2], rounded down."""

    def __init__(self, in_channels: int, channels: int, convolutions: int) -> None:
        layers: list[nn.Module] = []
        for _ in range(convolutions):
            layers += [nn.Conv2d(in_channels, channels, 3, padding=1), nn.ReLU()]
            in_channels = channels
        super().__init__(*layers, nn.MaxPool2d(2, stride=2))


def vgg11(
    *,
    in_channels: int = 1,
    num_classes: int = 10,
    image_size: int = 224,
    blocks: Sequence[Sequence[int]] = VGG11,
    width_divisor: int = 4,
    dropout: float = 0.5,
) -> nn.Module:
    """Build VGG-11: images [B, in_channels, image_size, image_size] -> logits [B, num_classes].

    `blocks` has a row (convolutions, channels) per block, and each block halves the image, so that five need 32
    pixels. `width_divisor` divides all channel counts (1 is the paper's width). `dropout` is the rate after each of
    the two hidden layers.

    Source: Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition" (2015), table 1.
    """
    divisor = whole_number("model.width_divisor", width_divisor)
    rate = dropout_rate(dropout)
    width = in_channels
    layers = []
    for convolutions, channels in table("model.blocks", blocks, convolutions=1, channels=1):
        if channels % divisor:
            raise ConfigError(
                f"model.width_divisor={divisor} does not divide the {channels} channels of a row of model.blocks; "
                "use a divisor of all channel counts, such as model.width_divisor=1"
            )
        layers.append(VggBlock(width, channels // divisor, convolutions))
        width = channels // divisor
    features = nn.Sequential(*layers)
    # B batch; 7 x 7 pixels are left of 224 x 224.
    return nn.Sequential(
        *features,  # [B, 512 / width_divisor, 7, 7]
        nn.Flatten(),
        nn.Linear(width * spatial_size(features, image_size) ** 2, 4096),
        nn.ReLU(),
        nn.Dropout(rate),
        nn.Linear(4096, 4096),
        nn.ReLU(),
        nn.Dropout(rate),
        nn.Linear(4096, num_classes),  # [B, num_classes]
    )
