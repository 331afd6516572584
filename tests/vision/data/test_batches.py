"""Batches hold every image once an epoch, in an order that depends on seed and epoch alone."""

import pytest
import torch

from sweeps.errors import ConfigError
from sweeps.vision.data import Augment, Batches, resize_exact

from .conftest import image_set


def joined(batches):
    """All batches of an epoch as one pair of tensors."""
    images, labels = zip(*batches, strict=True)
    return torch.cat(images), torch.cat(labels)


@pytest.fixture
def numbered():
    """100 images that show their own number and have it as their label."""
    return image_set(list(range(100)))


@pytest.mark.parametrize(("batch_size", "count"), [(1, 100), (7, 15), (50, 2), (99, 2), (100, 1), (1000, 1)])
def test_every_image_once_an_epoch_with_its_label(numbered, batch_size, count):
    batches = Batches(numbered, batch_size=batch_size, size=2, channels=1)
    assert batches.num_images == 100
    assert len(batches) == len(list(batches.shuffled(0))) == len(list(batches.in_order())) == count
    images, labels = joined(batches.shuffled(3))
    assert labels.tolist() != list(range(100))
    assert sorted(labels.tolist()) == list(range(100))
    assert torch.equal((images[:, 0, 0, 0] * 255).round().long(), labels)


@pytest.mark.parametrize(("batch_size", "steps"), [(1, 100), (7, 14), (50, 2), (99, 1), (100, 1)])
def test_drop_last_leaves_other_images_out_every_epoch_and_measures_all(numbered, batch_size, steps):
    batches = Batches(numbered, batch_size=batch_size, size=2, channels=1, drop_last=True, augment=Augment(flip=0.5))
    seen = [[len(labels) for _, labels in batches.shuffled(epoch)] for epoch in (1, 2)]
    assert seen == [[batch_size] * steps] * 2
    assert (batches.steps, batches.num_trained) == (steps, steps * batch_size)
    assert len(joined(batches.in_order())[1]) == 100
    kept = [set(joined(batches.shuffled(epoch))[1].tolist()) for epoch in range(1, 9)]
    assert all(len(images) == steps * batch_size for images in kept)
    assert steps * batch_size == 100 or len(set.union(*kept)) > steps * batch_size


def test_without_a_whole_batch_there_is_nothing_to_train_on(numbered):
    with pytest.raises(ConfigError, match=r"trainer\.batch_size=101 is more than the 100 images"):
        Batches(numbered, batch_size=101, size=2, channels=1, drop_last=True)


def test_the_order_is_a_permutation_and_is_what_shuffled_follows(numbered):
    batches = Batches(numbered, batch_size=9, size=2, channels=1, seed=4)
    order = batches.order(2)
    assert order.dtype == torch.int64
    assert order.sort().values.tolist() == list(range(100))
    assert torch.equal(joined(batches.shuffled(2))[1], order)


def test_the_order_depends_on_seed_and_epoch_alone(numbered):
    def order(seed, epoch, batch_size=10, **others):
        return Batches(numbered, batch_size=batch_size, seed=seed, **{"size": 2, "channels": 1} | others).order(epoch)

    torch.manual_seed(1)
    expected = order(0, 0)
    torch.manual_seed(2)
    batches = Batches(numbered, batch_size=10, size=2, channels=1)
    list(batches.shuffled(5))  # what was drawn before does not matter
    assert torch.equal(batches.order(0), expected)
    assert torch.equal(order(0, 0, batch_size=3, size=5, channels=3, augment=Augment(flip=0.5)), expected)
    orders = {tuple(order(seed, epoch).tolist()) for seed in range(5) for epoch in range(5)}
    assert len(orders) == 25  # and (1, 0) is not (0, 1)


def test_the_global_generator_is_left_alone(numbered):
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    list(Batches(numbered, batch_size=10, size=2, channels=1, augment=Augment(flip=0.5)).shuffled(0))
    assert torch.equal(torch.rand(3), expected)


def test_images_are_scaled_to_between_zero_and_one(mini):
    images, labels = joined(Batches(mini.test, batch_size=300, size=28, channels=1).in_order())
    assert images.dtype == torch.float32
    assert torch.equal(images, mini.test.images.float() / 255)
    assert torch.equal(labels, mini.test.labels)


def test_images_are_resized_batch_by_batch_as_resize_exact_does(mini):
    batches = Batches(mini.test, batch_size=300, size=41, channels=1)
    assert torch.equal(joined(batches.in_order())[0], resize_exact(mini.test.images, 41).float() / 255)


def test_grey_images_are_repeated_for_three_channels(mini):
    grey = next(Batches(mini.test, batch_size=8, size=32, channels=1).shuffled(0))[0]
    colour = next(Batches(mini.test, batch_size=8, size=32, channels=3).shuffled(0))[0]
    assert colour.shape == (8, 3, 32, 32)
    assert torch.equal(colour, grey.repeat(1, 3, 1, 1))


def test_the_raw_images_are_not_changed(mini):
    before = mini.test.images.clone()
    batches = Batches(mini.test, batch_size=300, size=28, channels=1, augment=Augment(0.5, 0.1, 0.5, 0.5))
    for images, _ in [*batches.shuffled(0), *batches.in_order()]:
        images.zero_()
    assert torch.equal(mini.test.images, before)


def test_augmentation_is_for_shuffled_batches_only_and_repeats_itself(mini):
    augment = Augment(flip=0.5, crop_padding=0.1, brightness=0.3)
    plain = Batches(mini.test, batch_size=300, size=28, channels=1)
    augmented = Batches(mini.test, batch_size=300, size=28, channels=1, augment=augment)
    assert torch.equal(joined(augmented.in_order())[0], joined(plain.in_order())[0])
    first = joined(augmented.shuffled(0))
    assert torch.equal(first[1], joined(plain.shuffled(0))[1])
    assert not torch.equal(first[0], joined(plain.shuffled(0))[0])
    assert torch.equal(first[0], joined(augmented.shuffled(0))[0])


def test_an_image_is_changed_otherwise_in_every_epoch():
    images = image_set([0] * 50)
    images.images[:, :, 0] = 0
    images.images[:, :, 1] = 255
    batches = Batches(images, batch_size=50, size=2, channels=1, augment=Augment(brightness=0.9))
    first, second = (next(batches.shuffled(epoch))[0][:, 0, 1, 0] for epoch in (0, 1))
    assert not torch.equal(first, second)


def test_two_channels_cannot_be_made(numbered):
    with pytest.raises(ConfigError, match=r"resize\.channels=2 .*resize\.channels=1 or 3"):
        Batches(numbered, batch_size=1, size=2, channels=2)


def test_colour_images_are_not_turned_grey():
    with pytest.raises(ConfigError, match=r"resize\.channels=1 .*resize\.channels=3"):
        Batches(image_set([0, 1], channels=3), batch_size=1, size=2, channels=1)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_an_epoch_on_a_gpu_is_the_same_and_never_waits(mini):
    augment = Augment(0.5, 0.1, 0.2, 0.2)
    on_cpu = Batches(mini.test, batch_size=300, size=40, channels=3, augment=augment)
    on_gpu = Batches(mini.test.to("cuda"), batch_size=300, size=40, channels=3, augment=augment)
    expected = joined(on_cpu.shuffled(1))
    epoch = on_gpu.shuffled(1)
    batches = [next(epoch)]  # what an epoch needs is drawn and moved before its first batch
    torch.cuda.set_sync_debug_mode("error")
    try:
        batches += epoch
    finally:
        torch.cuda.set_sync_debug_mode("default")
    images, labels = joined(batches)
    assert torch.equal(labels.cpu(), expected[1])
    assert torch.allclose(images.cpu(), expected[0], atol=1e-6)
