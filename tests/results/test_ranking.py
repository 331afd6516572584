"""The order of runs and the sentence under it."""

import pytest

from sweeps import results
from sweeps.record.records import Status
from sweeps.results.ranking import NO_RANKING, ranked_on, saved_by_pruning, sentences, tally
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


def test_the_best_report_can_decide(run_in, study):
    run_in(name="a", accuracies=(0.9, 0.2), objective=("test_acc", "max", "best", "test"))
    run_in(name="b", accuracies=(0.3, 0.8), objective=("test_acc", "max", "best", "test"))
    assert ranked(study) == [(1, "a"), (2, "b")]


def test_ties_share_a_rank_and_keep_the_order_of_their_paths(run_in, study):
    for name, final in (("d", 0.5), ("c", 0.9), ("b", 0.9), ("a", 0.2)):
        run_in(name=name, accuracies=(final,))
    assert ranked(study) == [(1, "b"), (1, "c"), (3, "d"), (4, "a")]


def test_everything_that_is_not_completed_stands_below(run_in, study):
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


def test_a_pruned_run_shares_no_rank_with_a_completed_one(run_in, study):
    run_in(name="whole", accuracies=(0.1,))
    run_in(name="cut", accuracies=(0.1,), status=Status.PRUNED)
    assert ranked(study) == [(1, "whole"), (2, "cut")]


def test_a_sweep_in_which_all_diverged_has_no_best(run_in, study):
    run_in(status=Status.DIVERGED)
    (row,) = results.rank(results.load([study]))
    assert row.rank == 1
    assert not row.is_best


def test_objectives_are_ranked_apart_the_most_frequent_first(run_in, study):
    run_in(name="a", accuracies=(0.9,), objective=("test_loss", "min", "last", "test"))
    run_in(name="b", accuracies=(0.5,))
    run_in(name="c", accuracies=(0.6,))
    assert ranked(study) == [(1, "c"), (2, "b"), (1, "a")]
    first, *rest = sentences(results.load([study]))
    assert "2 objectives" in first
    assert [sentence.replace(",", "").split()[4] for sentence in rest] == ["test_acc", "test_loss"]


@pytest.mark.parametrize(
    ("objective", "sentence"),
    [
        (
            Objective("test_acc", "max", "last", "test"),
            "Ranked by the last test_acc, measured on the test set: the best run was chosen on the test set.",
        ),
        (
            Objective("val_acc", "max", "last", "val"),
            "Ranked by the last val_acc, measured on the validation split: "
            "the best run was chosen on the validation split, not on the test set.",
        ),
        (
            Objective("test_loss", "min", "best", "test"),
            "Ranked by the best test_loss (lower is better), measured on the test set: "
            "each run's best report and the best run were chosen on the test set.",
        ),
        (
            Objective("train_loss", "min", "last", "train"),
            "Ranked by the last train_loss (lower is better), measured on the training set: "
            "the best run was chosen on the training set.",
        ),
        (Objective("", "max", "last", ""), "Ranked by the returned value."),
        (
            Objective("loss", "min", "best", ""),
            "Ranked by the best loss (lower is better), which is optimistic: each run's best report was chosen by it.",
        ),
        (Objective("loss", "", "last", "val"), "no ranking: sweep.objective.direction is not set"),
    ],
)
def test_the_sentence_says_what_chose_the_best(objective, sentence):
    assert ranked_on(objective) == sentence


def test_without_a_direction_runs_keep_their_order_and_have_no_rank(regression_in, study):
    for lr, loss in ((0.1, 0.5), (0.2, 0.4), (0.3, 0.6)):
        regression_in(loss, lr=lr, direction="")
    assert ranked(study) == [(None, "lr=0.1"), (None, "lr=0.2"), (None, "lr=0.3")]
    assert sentences(results.load([study])) == [NO_RANKING]


def test_beside_ranked_runs_those_without_a_direction_keep_their_order(regression_in, study):
    for lr, loss in ((0.1, 0.5), (0.2, 0.4), (0.3, 0.6)):
        regression_in(loss, lr=lr, direction="")
        regression_in(loss, lr=lr, depth=3)
    found = ranked(study)
    assert [name for place, name in found if place is None] == ["lr=0.1", "lr=0.2", "lr=0.3"]
    assert [name for place, name in found if place] == ["lr=0.2,depth=3", "lr=0.1,depth=3", "lr=0.3,depth=3"]
    assert NO_RANKING in sentences(results.load([study]))


def test_the_steps_that_pruning_saved_count_parts_of_one(run_in, regression_in, study):
    run_in(accuracies=(0.5,), status=Status.PRUNED, steps=1.5)
    assert saved_by_pruning(results.load([study])) == "1.5 of 10 steps were done."
    regression_in(0.5, status=Status.PRUNED, name="nobody said how many")
    assert saved_by_pruning(results.load([study])) == "1.5 of 10 steps were done."


def test_nothing_readable_is_said(run_in, study):
    run_in().record.write_text("", encoding="utf-8")
    assert sentences(results.load([study])) == ["Nothing is ranked: no record can be read."]


def test_the_tally_counts_every_run(sweep):
    assert tally(results.load([sweep])) == (
        "11 runs: 5 completed, 1 diverged, 1 failed, 1 running, 1 interrupted, 2 unreadable"
    )
