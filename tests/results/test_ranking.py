"""The order of runs and the sentence under it."""

import pytest

from sweeps import results
from sweeps.record.records import Status
from sweeps.results.ranking import chosen_on, is_best, sentences, tally
from sweeps.results.runs import Objective


def ranked(study):
    return [(row.rank, row.name) for row in results.rank(results.load([study]))]


def test_higher_accuracy_is_better(run_in, study):
    for name, final in (("a", 0.5), ("b", 0.9), ("c", 0.7)):
        run_in(name=name, accuracies=(final,))
    assert ranked(study) == [(1, "b"), (2, "c"), (3, "a")]


def test_lower_loss_is_better(run_in, study):
    for name, final in (("a", 0.5), ("b", 0.9), ("c", 0.7)):
        run_in(name=name, accuracies=(final,), objective=("val_loss", "min", "last", "val"))
    assert ranked(study) == [(1, "b"), (2, "c"), (3, "a")]


def test_the_best_epoch_can_decide(run_in, study):
    run_in(name="a", accuracies=(0.9, 0.2), objective=("test_acc", "max", "best", "test"))
    run_in(name="b", accuracies=(0.3, 0.8), objective=("test_acc", "max", "best", "test"))
    assert ranked(study) == [(1, "a"), (2, "b")]


def test_ties_share_a_rank_and_keep_the_order_of_their_paths(run_in, study):
    for name, final in (("d", 0.5), ("c", 0.9), ("b", 0.9), ("a", 0.2)):
        run_in(name=name, accuracies=(final,))
    assert ranked(study) == [(1, "b"), (1, "c"), (3, "d"), (4, "a")]


def test_everything_that_is_no_full_result_stands_below(run_in, study):
    run_in(name="a-failed", accuracies=(0.99,), status=Status.FAILED)
    run_in(name="b-unreadable").record.write_text("", encoding="utf-8")
    run_in(name="c-running", accuracies=(0.98,), status=Status.RUNNING)
    run_in(name="d-interrupted", accuracies=(0.97,), status=Status.INTERRUPTED)
    run_in(name="e-pending", accuracies=(), status=Status.PENDING)
    run_in(name="f-diverged", accuracies=(0.96,), status=Status.DIVERGED)
    run_in(name="g-pruned", accuracies=(0.4,), status=Status.PRUNED)
    run_in(name="h", accuracies=(0.5,))
    assert ranked(study) == [
        (1, "h"),
        (2, "g-pruned"),
        (3, "f-diverged"),
        (None, "c-running"),
        (None, "d-interrupted"),
        (None, "e-pending"),
        (None, "a-failed"),
        (None, "b-unreadable"),
    ]


def test_a_pruned_run_shares_no_rank_with_a_whole_one(run_in, study):
    run_in(name="whole", accuracies=(0.1,))
    run_in(name="cut", accuracies=(0.1,), status=Status.PRUNED)
    assert ranked(study) == [(1, "whole"), (2, "cut")]


def test_a_sweep_in_which_all_diverged_has_no_best(run_in, study):
    run_in(status=Status.DIVERGED)
    (row,) = results.rank(results.load([study]))
    assert row.rank == 1
    assert not is_best(row)


def test_objectives_are_ranked_apart_the_most_frequent_first(run_in, study):
    run_in(name="a", accuracies=(0.9,), objective=("test_loss", "min", "last", "test"))
    run_in(name="b", accuracies=(0.5,))
    run_in(name="c", accuracies=(0.6,))
    assert ranked(study) == [(1, "c"), (2, "b"), (1, "a")]
    first, *rest = sentences(results.load([study]))
    assert "2 objectives" in first
    assert [sentence.split()[2] for sentence in rest] == ["test_acc", "test_loss"]


@pytest.mark.parametrize(
    ("objective", "sentence"),
    [
        (
            Objective("test_acc", "max", "last", "test"),
            "Ranked by test_acc of the last epoch, measured on the test set: the best run was chosen on the test set.",
        ),
        (
            Objective("val_acc", "max", "last", "val"),
            "Ranked by val_acc of the last epoch, measured on the validation split: "
            "the best run was chosen on the validation split, not on the test set.",
        ),
        (
            Objective("test_loss", "min", "best", "test"),
            "Ranked by test_loss of each run's best epoch (lower is better), measured on the test set: "
            "the best epoch and the best run were chosen on the test set.",
        ),
        (
            Objective("train_acc", "max", "last", "train"),
            "Ranked by train_acc of the last epoch, measured on the training set: "
            "the best run was chosen on the training set.",
        ),
    ],
)
def test_the_sentence_says_what_chose_the_best(objective, sentence):
    assert chosen_on(objective) == sentence


def test_nothing_readable_is_said(run_in, study):
    run_in().record.write_text("", encoding="utf-8")
    assert sentences(results.load([study])) == ["Nothing is ranked: no record can be read."]


def test_the_tally_counts_every_run(sweep):
    assert tally(results.load([sweep])) == (
        "11 runs: 5 completed, 1 diverged, 1 failed, 1 running, 1 interrupted, 2 unreadable"
    )
