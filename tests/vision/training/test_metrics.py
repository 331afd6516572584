"""Sums over batches give what one plain computation over all examples gives."""

import gc
import weakref

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from sweeps.vision.training.metrics import Means, Totals

CPU = torch.device("cpu")


def added(logits, labels, sizes, classes):
    totals = Totals(classes, CPU)
    for part, truth in zip(logits.split(sizes), labels.split(sizes), strict=True):
        totals.add(part, truth, F.cross_entropy(part, truth))
    return totals


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(2, 12), st.integers(0, 1000))
def test_the_means_are_those_of_all_examples_however_they_are_batched(sizes, classes, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(sum(sizes), classes, generator=generator) * 3
    labels = torch.randint(classes, (sum(sizes),), generator=generator)
    totals = added(logits, labels, sizes, classes)

    means = totals.read()
    assert isinstance(means, Means)
    assert means.loss == pytest.approx(float(F.cross_entropy(logits.double(), labels)), rel=1e-4, abs=1e-5)
    assert means.acc == pytest.approx(float((logits.argmax(1) == labels).double().mean()))
    assert totals.examples == sum(sizes)
    expected = [
        [
            sum(t == true and p == predicted for t, p in zip(labels, logits.argmax(1), strict=True))
            for predicted in range(classes)
        ]
        for true in range(classes)
    ]
    assert totals.confusion() == expected


def test_rows_of_the_confusion_are_true_classes_and_columns_predicted_ones():
    logits = torch.tensor([[9.0, 0, 0], [0, 0, 9], [0, 0, 9], [0, 9, 0]])
    totals = added(logits, torch.tensor([0, 1, 1, 1]), [4], 3)
    assert totals.confusion() == [[1, 0, 0], [0, 1, 2], [0, 0, 0]]
    assert totals.read().acc == 0.5


def test_reading_in_between_changes_nothing():
    logits, labels = torch.eye(4) * 5, torch.tensor([0, 1, 2, 0])
    totals = Totals(4, CPU)
    for one in range(4):
        totals.add(
            logits[one : one + 1], labels[one : one + 1], F.cross_entropy(logits[one : one + 1], labels[one : one + 1])
        )
        totals.read()
    assert totals.read() == pytest.approx(added(logits, labels, [4], 4).read())


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_a_loss_that_is_no_number_stays_one(value):
    totals = Totals(3, CPU)
    totals.add(torch.zeros(2, 3), torch.tensor([0, 1]), torch.tensor(float(value)))
    totals.add(torch.zeros(2, 3), torch.tensor([0, 1]), torch.tensor(1.0))
    assert str(totals.read().loss) == value


def test_the_activations_of_a_batch_are_let_go():
    logits = torch.zeros(2, 3, requires_grad=True)
    alive = weakref.ref(logits)
    totals = Totals(3, CPU)
    totals.add(logits, torch.tensor([0, 1]), F.cross_entropy(logits, torch.tensor([0, 1])))
    del logits
    gc.collect()
    assert alive() is None
    assert totals.examples == 2


def test_a_part_has_the_means_of_its_own_examples():
    logits, labels = torch.eye(4) * 5, torch.tensor([0, 1, 2, 0])
    losses = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    totals = Totals(4, CPU)
    totals.add(logits[:2], labels[:2], losses[:2].mean())
    assert totals.read_part() == totals.read()
    totals.begin_part()
    totals.add(logits[2:], labels[2:], losses[2:].mean())
    assert totals.read_part() == pytest.approx((float(losses[2:].mean()), 0.5))
    assert totals.read() == pytest.approx((float(losses.mean()), 0.75))
