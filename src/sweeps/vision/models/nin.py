"""Network in network: 1 x 1 convolutions in the place of a fully connected head."""

from collections.abc import Sequence

from torch import nn

from sweeps.vision.models.blocks import dropout_rate, table

# (channels, kernel, stride, padding) per block, each followed by a pool; a last block has one channel per class.
NIN = ((96, 11, 4, 0), (256, 5, 1, 2), (384, 3, 1, 1))


class NinBlock(nn.Sequential):
    """A convolution and two 1 x 1 convolutions of one width: [B, in_channels, H, W] -> [B, channels, H', W']."""

    def __init__(self, in_channels: int, channels: int, kernel: int, stride: int, padding: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, channels, kernel, stride=stride, padding=padding),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 1),
            nn.ReLU(),
        )


def nin(
    *,
    in_channels: int = 1,
    num_classes: int = 10,
    image_size: int = 224,
    blocks: Sequence[Sequence[int]] = NIN,
    dropout: float = 0.5,
) -> nn.Module:
    """Build NiN: images [B, in_channels, image_size, image_size] -> logits [B, num_classes].

    `blocks` has a row (channels, kernel, stride, padding) per block. `dropout` is the rate in front of the last block.
    The weights do not depend on `image_size`; images of fewer than 67 pixels are pooled away. The last ReLU stands in
    front of the global pool, so logits are never negative and a run can collapse to one class: compare several seeds.

    Source: Lin, Chen, Yan, "Network In Network" (2014), with AlexNet's kernels.
    """
    rate = dropout_rate(dropout)
    width = in_channels
    layers: list[nn.Module] = []
    for channels, kernel, stride, padding in table("model.blocks", blocks, channels=1, kernel=1, stride=1, padding=0):
        layers += [NinBlock(width, channels, kernel, stride, padding), nn.MaxPool2d(3, stride=2)]
        width = channels
    # B batch; 5 x 5 pixels are left of 224 x 224.
    return nn.Sequential(
        *layers,  # [B, 384, 5, 5]
        nn.Dropout(rate),
        NinBlock(width, num_classes, kernel=3, stride=1, padding=1),  # [B, num_classes, 5, 5]
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),  # [B, num_classes]
    )
