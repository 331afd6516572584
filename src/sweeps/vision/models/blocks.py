"""The little that several networks really share."""

from torch import nn


class Stem(nn.Sequential):
    """The beginning of ResNet and DenseNet: [B, in_channels, H, W] -> [B, channels, H/4, W/4], rounded up."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, channels, 7, stride=2, padding=3),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),
        )


def spatial_size(features: nn.Sequential, image_size: int) -> int:
    """Return the height (and width) of the map that a straight pipe makes of a square image.

    An image that would be pooled away gives 1: the network can be built all the same, and `inspect_network` finds
    the layer that cannot run and says which image size would do.
    """
    size = image_size
    for layer in features.modules():
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
            kernel, stride, padding = map(_side, (layer.kernel_size, layer.stride, layer.padding))
            size = max((size + 2 * padding - kernel) // stride + 1, 1)
    return size


def _side(argument: int | tuple[int, ...] | str) -> int:
    assert not isinstance(argument, str), "named padding has no number; our networks do not use it"
    return argument if isinstance(argument, int) else argument[0]
