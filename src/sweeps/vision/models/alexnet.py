"""AlexNet: large kernels first, most of the weights in the head."""

from torch import nn

from sweeps.vision.models.blocks import dropout_rate, spatial_size


def alexnet(*, in_channels: int = 1, num_classes: int = 10, image_size: int = 224, dropout: float = 0.5) -> nn.Module:
    """Build AlexNet: images [B, in_channels, image_size, image_size] -> logits [B, num_classes].

    `dropout` is the rate after each of the two hidden layers. Images of fewer than 65 pixels are pooled away.

    Source: Krizhevsky, Sutskever, Hinton, "ImageNet Classification with Deep Convolutional Neural Networks" (2012),
    as one tower and without local response normalisation.
    """
    rate = dropout_rate(dropout)
    # B batch, C channels, H W pixels; sizes are those of a 224 x 224 image.
    features = nn.Sequential(
        nn.Conv2d(in_channels, 96, 11, stride=4, padding=1),  # [B, 96, 54, 54]
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2),  # [B, 96, 26, 26]
        nn.Conv2d(96, 256, 5, padding=2),  # [B, 256, 26, 26]
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2),  # [B, 256, 12, 12]
        nn.Conv2d(256, 384, 3, padding=1),  # [B, 384, 12, 12]
        nn.ReLU(),
        nn.Conv2d(384, 384, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1),  # [B, 256, 12, 12]
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2),  # [B, 256, 5, 5]
    )
    return nn.Sequential(
        *features,
        nn.Flatten(),  # [B, 6400]
        nn.Linear(256 * spatial_size(features, image_size) ** 2, 4096),
        nn.ReLU(),
        nn.Dropout(rate),
        nn.Linear(4096, 4096),
        nn.ReLU(),
        nn.Dropout(rate),
        nn.Linear(4096, num_classes),  # [B, num_classes]
    )
