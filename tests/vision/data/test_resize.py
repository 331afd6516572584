"""The resize equals PIL's in every pixel."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sweeps.errors import ConfigError
from sweeps.vision.data import resize_exact


def pil_resize(images, size):
    """PIL, image by image: uint8 [B, C, H, W] to [B, C, size, size]."""
    results = []
    for image in images.permute(0, 2, 3, 1).numpy():
        grey = image.shape[2] == 1
        source = Image.fromarray(np.ascontiguousarray(image[..., 0] if grey else image))
        result = np.array(source.resize((size, size), Image.Resampling.BILINEAR))
        results.append(torch.from_numpy(result[None] if grey else result.transpose(2, 0, 1).copy()))
    return torch.stack(results)


def random_images(*shape, seed=0):
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [14, 27, 28, 32, 96, 160, 224])
def test_equals_pil_on_real_images(mini, size):
    images = mini.train.images[:300]
    assert torch.equal(resize_exact(images, size), pil_resize(images, size))


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("source", [1, 5, 27, 32, 97])
@pytest.mark.parametrize("size", [1, 7, 14, 33, 96, 224])
def test_equals_pil_on_noise(batch, channels, source, size):
    images = random_images(batch, channels, source, source, seed=source)
    assert torch.equal(resize_exact(images, size), pil_resize(images, size))


@settings(max_examples=60, deadline=None)
@given(source=st.integers(1, 70), size=st.integers(1, 70), seed=st.integers(0, 99))
def test_equals_pil_between_any_two_sizes(source, size, seed):
    # Black and white only: the steepest edges make the largest sums.
    images = (random_images(2, 1, source, source, seed=seed) > 127).to(torch.uint8) * 255
    assert torch.equal(resize_exact(images, size), pil_resize(images, size))


@pytest.mark.parametrize("size", [14, 96])
def test_memory_layout_does_not_matter(size):
    images = random_images(4, 3, 28, 28)
    expected = resize_exact(images, size)
    assert torch.equal(resize_exact(images.contiguous(memory_format=torch.channels_last), size), expected)
    grey = images[:, :1]
    assert torch.equal(resize_exact(grey.expand(-1, 3, -1, -1), size), resize_exact(grey, size).expand(-1, 3, -1, -1))


def test_nothing_is_done_where_nothing_is_to_be_done():
    images = random_images(2, 1, 28, 28)
    assert resize_exact(images, 28) is images


def test_refuses_what_it_cannot_resize_exactly():
    with pytest.raises(ConfigError, match=r"uint8, not torch\.float32"):
        resize_exact(torch.zeros(1, 1, 2, 2), 4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("size", [14, 27, 96, 224])
def test_is_the_same_on_a_gpu(mini, size):
    images = mini.train.images[:300]
    assert torch.equal(resize_exact(images.cuda(), size).cpu(), pil_resize(images, size))
