"""Splits are what the configuration says: checked, limited evenly, and held out evenly."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeps.errors import ConfigError, DataError
from sweeps.vision.data import load_splits

from .conftest import image_set


class Given:
    """A source that has these labels."""

    def __init__(self, labels, test_labels=None, channels=1):
        self.labels = labels
        self.test_labels = labels if test_labels is None else test_labels
        self.channels = channels

    def load(self, root):
        return image_set(self.labels, self.channels), image_set(self.test_labels, self.channels), "somewhere"


def splits_of(labels, test_labels=None, classes=3, **settings):
    source = Given(labels, test_labels)
    return load_splits(source, root=None, name="given", classes=classes, channels=1, size=2, **settings)


def positions(images):
    """Where the images stood in the set that they come from (see image_set)."""
    return images.images[:, 0, 0, 0].tolist()


def test_without_settings_everything_is_kept():
    splits = splits_of([2, 0, 1, 1], [0, 1, 2])
    assert positions(splits.train) == [0, 1, 2, 3]
    assert splits.train.labels.tolist() == [2, 0, 1, 1]
    assert positions(splits.test) == [0, 1, 2]
    assert splits.val is None
    assert splits.origin == "somewhere"


def test_limit_takes_the_first_of_every_class_in_their_old_order():
    splits = splits_of([0, 0, 0, 1, 2, 2, 1, 0], limit=6)
    assert positions(splits.train) == [0, 1, 3, 4, 5, 6]


def test_what_cannot_be_shared_evenly_goes_to_the_first_classes():
    assert positions(splits_of([2, 2, 1, 1, 0, 0], limit=4).train) == [0, 2, 4, 5]
    assert positions(splits_of([2, 2, 1, 1, 0, 0], limit=5).train) == [0, 2, 3, 4, 5]


@settings(max_examples=60, deadline=None)
@given(labels=st.lists(st.integers(0, 3), min_size=4, max_size=60), data=st.data())
def test_limit_is_as_even_as_the_set_allows(labels, data):
    limit = data.draw(st.integers(4, len(labels)))
    train = splits_of(labels, classes=4, limit=limit).train
    assert len(train) == limit
    taken = train.labels.bincount(minlength=4)
    available = torch.tensor(labels).bincount(minlength=4)
    # No class could give way to one that has fewer: whoever has less than the largest has nothing left.
    short = taken < taken.max() - 1
    assert torch.equal(taken[short], available[short])
    assert train.labels.tolist() == [labels[position] for position in positions(train)]


def test_limits_that_cannot_be_satisfied_name_the_way_out():
    with pytest.raises(ConfigError, match=r"dataset\.limit=9 is more than the 8 training images.*limit=8"):
        splits_of([0, 0, 0, 1, 2, 2, 1, 0], limit=9)
    with pytest.raises(ConfigError, match=r"dataset\.limit=2 is less than one image for each of 3 classes"):
        splits_of([0, 0, 0, 1, 2, 2, 1, 0], limit=2)
    with pytest.raises(ConfigError, match=r"dataset\.test_limit=2 is less"):
        splits_of([0, 1, 2], test_limit=2)


def test_test_limit_is_balanced_and_at_most_the_whole_split():
    labels = [0, 1, 2] * 3
    assert splits_of(labels, test_limit=6).test.labels.bincount().tolist() == [2, 2, 2]
    assert len(splits_of(labels, test_limit=100).test) == 9


def test_validation_is_a_stratified_partition_of_the_training_images(mini):
    source = Given([])
    source.load = lambda root: (mini.train, mini.test, "")
    splits = load_splits(source, root=None, name="mini", classes=10, channels=1, size=28, validation=0.1)
    assert splits.val.labels.bincount().tolist() == [50] * 10
    assert splits.train.labels.bincount().tolist() == [450] * 10
    assert splits.test is mini.test


@settings(max_examples=60, deadline=None)
@given(counts=st.lists(st.integers(4, 30), min_size=2, max_size=4), fraction=st.floats(0.2, 0.8))
def test_validation_loses_no_image_and_takes_its_fraction_of_every_class(counts, fraction):
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    splits = splits_of(labels, classes=len(counts), validation=fraction)
    assert sorted(positions(splits.train) + positions(splits.val)) == list(range(len(labels)))
    for held, count in zip(splits.val.labels.bincount().tolist(), counts, strict=True):
        assert abs(held - fraction * count) <= 0.5 + 1e-3


def test_validation_is_taken_from_the_limited_images_and_spread_over_them():
    splits = splits_of([0, 1, 2] * 20, limit=30, validation=0.2)
    assert len(splits.train) == 24
    assert positions(splits.val) == [12, 13, 14, 27, 28, 29]


def test_validation_that_empties_a_class_is_refused():
    with pytest.raises(ConfigError, match=r"validation=0\.1 of a class with 2 images"):
        splits_of([0, 1, 2] * 2, validation=0.1)
    with pytest.raises(ConfigError, match=r"validation=0\.9 of a class with 2 images"):
        splits_of([0, 1, 2] * 2, validation=0.9)


def test_labels_outside_the_classes_are_refused():
    with pytest.raises(DataError, match=r"training images in somewhere.* from 0 to 3, but 0 to 2"):
        splits_of([0, 1, 3])
    with pytest.raises(DataError, match=r"test images in somewhere.* from 0 to 7"):
        splits_of([0, 1, 2], [7, 0])


@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 2)])
def test_images_of_another_shape_are_refused(channels, size):
    with pytest.raises(DataError, match=rf"1 x 2 x 2 .*but {channels} x {size} x {size} is expected"):
        load_splits(Given([0, 1, 2]), root=None, name="given", classes=3, channels=channels, size=size)
