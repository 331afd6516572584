"""Random changes of the training images, for a whole batch at once."""

import torch
from torch import Tensor
from torch.nn import functional

from sweeps.vision.config import AugmentConfig

# ITU-R BT.601: how much red, green and blue contribute to the brightness that we see.
_LUMA = (0.299, 0.587, 0.114)
# The columns of a draw, one uniform number in [0, 1) an image each.
_FLIP, _TOP, _LEFT, _BRIGHTNESS, _CONTRAST, _SATURATION, _HUE = range(7)


class Augment(AugmentConfig):
    """Flip, crop and change the colour of every image on its own.

    The random numbers come from outside (`num_draws` for each image), so that they can be the same on every device.

    The fields say by how much:

    * `flip`: probability of a horizontal flip.
    * `crop_padding`: width of the zero border added on every side before a random crop of the old size, as a fraction
      of the side: 0.125 moves an image of 32 pixels by up to 4.
    * `brightness`: factor of the brightness from [1 - brightness, 1 + brightness].
    * `contrast`: factor of the distance from the image's mean brightness, likewise.
    * `saturation`: factor of the distance from grey, likewise; grey images stay as they are.
    * `hue`: rotation of the hue by up to this fraction of the colour circle, both ways; grey images stay as they are.
    """

    num_draws = 7

    @property
    def is_identity(self) -> bool:
        return self == Augment()

    def __call__(self, images: Tensor, draws: Tensor) -> Tensor:
        """Change float images [B, C, S, S] in [0, 1] by uniform numbers [B, num_draws] in [0, 1)."""
        if self.flip or self.crop_padding:
            images = self._flip_and_crop(images, draws)
        # One factor an image: [B, 1, 1, 1] against [B, C, S, S].
        factors = draws[:, :, None, None, None].mul(2).sub(1).unbind(1)  # in [-1, 1)
        if self.brightness:
            images = (images * (1 + self.brightness * factors[_BRIGHTNESS])).clamp_(0, 1)
        if self.contrast:
            mean = _grey(images).mean((1, 2, 3), keepdim=True)
            images = torch.lerp(mean, images, 1 + self.contrast * factors[_CONTRAST]).clamp_(0, 1)
        if images.shape[1] != 3:
            return images
        if self.saturation:
            images = torch.lerp(_grey(images), images, 1 + self.saturation * factors[_SATURATION]).clamp_(0, 1)
        if self.hue:
            images = _rotate_hue(images, self.hue * factors[_HUE])
        return images

    def _flip_and_crop(self, images: Tensor, draws: Tensor) -> Tensor:
        """Both are a choice of rows and columns: one gather."""
        num_images, channels, height, width = images.shape
        border = round(self.crop_padding * width)
        padded = functional.pad(images, (border,) * 4) if border else images
        # 2 * border + 1 possible offsets, all equally likely.
        top = (draws[:, _TOP, None] * (2 * border + 1)).long()
        left = (draws[:, _LEFT, None] * (2 * border + 1)).long()
        rows = top + torch.arange(height, device=images.device)  # [B, H]
        columns = torch.arange(width, device=images.device).expand(num_images, -1)  # [B, W]
        columns = left + torch.where(draws[:, _FLIP, None] < self.flip, columns.flip(1), columns)
        pixels = rows[:, :, None] * padded.shape[3] + columns[:, None, :]  # [B, H, W]
        pixels = pixels.view(num_images, 1, -1).expand(-1, channels, -1)
        return padded.flatten(2).gather(2, pixels).view_as(images)


def _grey(images: Tensor) -> Tensor:
    """The brightness of every pixel: [B, 1, H, W]."""
    if images.shape[1] != 3:
        return images.mean(1, keepdim=True)
    red, green, blue = images.unbind(1)
    return (_LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue).unsqueeze(1)


def _rotate_hue(images: Tensor, turns: Tensor) -> Tensor:
    """Rotate the hue in the HSV model by `turns` [B, 1, 1, 1] of the colour circle; value and saturation stay."""
    red, green, blue = torch.split(images, 1, 1)
    value = images.amax(1, keepdim=True)
    chroma = value - images.amin(1, keepdim=True)
    safe = torch.where(chroma > 0, chroma, 1.0)  # grey has no hue: any will do, and 0 / 0 must not arise
    # The hue in sixths of the circle, counted from red.
    hue = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    # A. R. Smith's hexcone, 1978: a channel falls from `value` to `value - chroma` with the hue's distance from it.
    # The positions come from a range, because a literal would be copied from the host every batch.
    positions = (5 - 2 * torch.arange(3, device=images.device)).view(1, 3, 1, 1)  # red 5, green 3, blue 1
    distance = (positions + hue + 6 * turns) % 6
    return value - chroma * torch.minimum(distance, 4 - distance).clamp_(0, 1)
