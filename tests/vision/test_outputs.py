"""What a run keeps beside its record: the counts of its confusion, and the very images."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from sweeps.errors import RecordError
from sweeps.vision import confusion
from sweeps.vision.confusion import Confusion, Pair
from sweeps.vision.data import ImageSet
from sweeps.vision.outputs import IMAGES, confusion_of
from sweeps.vision.training.metrics import Totals


def passed(labels, guesses, classes, batch_size=4):
    totals = Totals(classes, torch.device("cpu"), keep_answers=True)
    for true, guess in zip(labels.split(batch_size), guesses.split(batch_size), strict=True):
        totals.add(torch.nn.functional.one_hot(guess, classes).float(), true, torch.tensor(1.0))
    return totals


def test_pairs_are_the_most_confused_with_their_images():
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (30, 1, 5, 5), dtype=torch.uint8, generator=generator)
    labels = torch.tensor([0] * 15 + [1] * 15)
    guesses = torch.tensor([0] * 5 + [1] * 10 + [1] * 12 + [0] * 3)
    totals = passed(labels, guesses, 3)
    assert all(map(torch.equal, totals.answers(), (guesses.byte(), labels.byte())))
    found = confusion_of(totals, ImageSet(images, labels), ["a", "b", "c"], split="test", epoch=7)
    assert found.counts == [[5, 10, 0], [3, 12, 0], [0, 0, 0]]
    assert (found.split, found.epoch) == ("test", 7)
    assert [(pair.true, pair.guess, pair.count) for pair in found.pairs] == [(0, 1, 10), (1, 0, 3)]
    for pair, places in zip(found.pairs, (range(5, 15), range(27, 30)), strict=True):
        assert len(pair.images) == min(len(places), IMAGES)
        for picture, place in zip(pair.images, places, strict=False):
            assert np.array_equal(np.asarray(Image.open(io.BytesIO(picture))), images[place, 0].numpy())


def test_a_network_that_is_always_right_has_no_pairs():
    labels = torch.tensor([0, 1])
    images = ImageSet(torch.zeros(2, 3, 4, 4, dtype=torch.uint8), labels)
    assert confusion_of(passed(labels, labels, 2), images, ["a", "b"], split="test", epoch=1).pairs == []


def test_large_colour_images_are_kept_small():
    labels = torch.tensor([0])
    images = ImageSet(torch.zeros(1, 3, 500, 500, dtype=torch.uint8), labels)
    found = confusion_of(passed(labels, torch.tensor([1]), 2), images, ["a", "b"], split="test", epoch=1)
    picture = Image.open(io.BytesIO(found.pairs[0].images[0]))
    assert (picture.mode, picture.size) == ("RGB", (64, 64))


def test_the_file_is_read_as_it_was_written(folder):
    folder.path.mkdir()
    assert confusion.read(folder.path) is None
    written = Confusion("test", 3, ["a", "b"], [[1, 2], [3, 4]], [Pair(1, 0, 3, [confusion.PNG + b"x"])])
    confusion.write(folder.path, written)
    assert confusion.read(folder.path) == written


@pytest.mark.parametrize("damage", ["{", "[]", '{"labels": [], "counts": [[1]], "pairs": []}'])
def test_a_damaged_file_is_told(folder, damage):
    folder.path.mkdir()
    (folder.path / confusion.NAME).write_text(damage, encoding="utf-8")
    with pytest.raises(RecordError, match="is damaged"):
        confusion.read(folder.path)


def test_a_run_keeps_it_and_its_operations(do_run, folder):
    record = do_run("trainer.epochs=1")
    found = confusion.read(folder.path)
    right = sum(found.counts[at][at] for at in range(10))
    assert right / sum(map(sum, found.counts)) == pytest.approx(record.metrics["last"]["test_acc"])
    assert record.facts["forward_macs"] == 281_640
