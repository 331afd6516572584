"""Augmentation changes every image on its own, in the promised range, and nothing where nothing is asked for."""

import colorsys

import pytest
import torch

from sweeps.vision.data import Augment


def random_images(num_images, channels=3, size=16):
    return torch.rand(num_images, channels, size, size, generator=torch.Generator().manual_seed(0))


def draws(num_images, seed=0):
    return torch.rand(num_images, Augment.num_draws, generator=torch.Generator().manual_seed(seed))


EVERYTHING = Augment(flip=0.5, crop_padding=0.2, brightness=0.9, contrast=0.9, saturation=0.9, hue=0.5)


def test_nothing_asked_for_is_the_identity():
    images = random_images(4)
    assert Augment().is_identity
    assert not EVERYTHING.is_identity
    assert torch.equal(Augment()(images, draws(4)), images)


def test_flip_one_flips_all_and_flip_a_half_flips_half():
    images = random_images(400)
    assert torch.equal(Augment(flip=1)(images, draws(400)), images.flip(3))
    result = Augment(flip=0.5)(images, draws(400))
    flipped = (result == images.flip(3)).flatten(1).all(1)
    untouched = (result == images).flatten(1).all(1)
    assert torch.equal(flipped, ~untouched)
    assert 150 < flipped.sum() < 250


def test_a_crop_is_a_shift_with_zeros_and_every_offset_occurs():
    border, size = 2, 8
    images = random_images(500, size=size)
    result = Augment(crop_padding=border / size)(images, draws(500))
    padded = torch.nn.functional.pad(images, (border,) * 4)
    matches = torch.stack(
        [
            (result == padded[:, :, top : top + size, left : left + size]).flatten(1).all(1)
            for top in range(2 * border + 1)
            for left in range(2 * border + 1)
        ]
    )
    assert (matches.sum(0) == 1).all()  # every image is exactly one of the 25 crops
    assert (matches.sum(1) > 5).all()  # 20 are expected of each


@pytest.mark.parametrize("low", [True, False])
def test_brightness_is_a_factor_in_its_range(low):
    images = random_images(2) / 2
    extreme = torch.full((2, Augment.num_draws), 0.0 if low else 1.0)
    result = Augment(brightness=0.4)(images, extreme)
    assert torch.allclose(result, images * (0.6 if low else 1.4))


def test_contrast_keeps_the_mean_and_scales_the_distance_from_it():
    images = 0.4 + 0.2 * random_images(2, channels=1)
    result = Augment(contrast=0.5)(images, torch.zeros(2, Augment.num_draws))
    mean = images.mean((1, 2, 3), keepdim=True)
    assert torch.allclose(result, mean + 0.5 * (images - mean))


def test_saturation_down_to_nothing_is_grey():
    images = random_images(2)
    result = Augment(saturation=1)(images, torch.zeros(2, Augment.num_draws))
    luma = 0.299 * images[:, 0] + 0.587 * images[:, 1] + 0.114 * images[:, 2]
    assert torch.allclose(result, luma.unsqueeze(1).expand_as(images), atol=1e-6)


@pytest.mark.parametrize("draw", [0.0, 0.3, 0.5, 0.9])
def test_hue_is_rotated_as_the_hsv_model_says(draw):
    images = random_images(2, size=6)
    result = Augment(hue=0.25)(images, torch.full((2, Augment.num_draws), draw))
    turn = 0.25 * (2 * draw - 1)
    for before, after in zip(images.movedim(1, 3).reshape(-1, 3), result.movedim(1, 3).reshape(-1, 3), strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*before.tolist())
        expected = colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value)
        assert after.tolist() == pytest.approx(expected, abs=1e-5)


def test_grey_images_have_no_saturation_and_no_hue():
    colour_only = Augment(saturation=0.9, hue=0.5)
    grey = random_images(4, channels=1)
    assert torch.equal(colour_only(grey, draws(4)), grey)
    as_colour = grey.expand(-1, 3, -1, -1)
    assert torch.allclose(colour_only(as_colour, draws(4)), as_colour, atol=1e-6)
    black_and_white = torch.stack([torch.zeros(3, 2, 2), torch.ones(3, 2, 2)])
    assert torch.allclose(colour_only(black_and_white, draws(2)), black_and_white, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "augment",
    [Augment(brightness=0.9), Augment(contrast=0.9), Augment(saturation=0.9), Augment(hue=0.5), EVERYTHING],
    ids=["brightness", "contrast", "saturation", "hue", "everything"],
)
def test_the_result_stays_in_range_and_repeats_itself(augment, channels):
    images = random_images(64, channels)
    before = images.clone()
    result = augment(images, draws(64))
    assert result.shape == images.shape
    assert result.dtype == torch.float32
    assert result.min() >= 0
    assert result.max() <= 1
    assert torch.equal(result, augment(images, draws(64)))
    assert torch.equal(images, before)


@pytest.mark.parametrize(
    "augment", [Augment(brightness=0.5), Augment(contrast=0.5), Augment(saturation=0.5), Augment(hue=0.5)]
)
def test_every_image_is_changed_in_its_own_way(augment):
    images = random_images(1).expand(50, -1, -1, -1)
    assert len(augment(images, draws(50)).flatten(1).unique(dim=0)) == 50


def test_an_image_does_not_depend_on_its_neighbours():
    images, numbers = random_images(10), draws(10)
    assert torch.allclose(EVERYTHING(images, numbers)[3:5], EVERYTHING(images[3:5], numbers[3:5]), atol=1e-6)
