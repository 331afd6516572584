"""LeNet-5 with batch normalisation: the small network that runs anywhere."""

from collections.abc import Sequence

from torch import nn

from sweeps.vision.models.blocks import spatial_size, whole_numbers

# Widths of LeNet-5: layers C1 and C3, then C5 and F6 of the paper.
CHANNELS = (6, 16)
HIDDEN = (120, 84)


def lenet_bn(
    *,
    in_channels: int = 1,
    num_classes: int = 10,
    image_size: int = 28,
    channels: Sequence[int] = CHANNELS,
    hidden: Sequence[int] = HIDDEN,
) -> nn.Module:
    """Build LeNet with batch normalisation: images [B, in_channels, image_size, image_size] -> logits [B, num_classes].

    `channels` are the widths of the convolutions, `hidden` those of the fully connected layers. Two convolutions need
    images of 16 pixels. In training B must be at least 2: the hidden layers are normalised over the batch alone.

    Sources: LeCun et al., "Gradient-Based Learning Applied to Document Recognition" (1998); Ioffe, Szegedy, "Batch
    Normalization" (2015).
    """
    # B batch; sizes are those of a 28 x 28 image.
    layers: list[nn.Module] = []
    width = in_channels
    for channel_count in whole_numbers("model.channels", channels):
        layers += [
            nn.Conv2d(width, channel_count, 5),  # [B, 6, 24, 24], [B, 16, 8, 8]
            nn.BatchNorm2d(channel_count),
            nn.Sigmoid(),
            nn.AvgPool2d(2, stride=2),  # [B, 6, 12, 12], [B, 16, 4, 4]
        ]
        width = channel_count
    width *= spatial_size(nn.Sequential(*layers), image_size) ** 2
    layers.append(nn.Flatten())  # [B, 256]
    for features in whole_numbers("model.hidden", hidden):
        layers += [nn.Linear(width, features), nn.BatchNorm1d(features), nn.Sigmoid()]  # [B, 120], [B, 84]
        width = features
    return nn.Sequential(*layers, nn.Linear(width, num_classes))  # [B, num_classes]
