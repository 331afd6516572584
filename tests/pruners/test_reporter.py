"""What a run puts on the board: the figure of its latest part, not of how it began."""

from types import SimpleNamespace

import pytest

from sweeps.pruners import Board, Report, Rule, goes_on
from sweeps.pruners.reporter import BoardReporter
from sweeps.record.identity import cell_id, run_id
from sweeps.record.records import Failure, Objective, RunRecord, Status


class Totals:
    """Sums over batches of ten images."""

    def __init__(self):
        self.examples, self.summed = 0, 0.0

    def add(self, loss):
        self.examples += 10
        self.summed += 10 * loss

    def read(self):
        return SimpleNamespace(loss=self.summed / self.examples, acc=0.0)


@pytest.mark.parametrize(
    ("every", "metric", "expected"),
    [
        (1.0, "train_loss", {1.0: 1.5, 2.0: 1.5}),  # of losses 8, 7 ... 1 the last two
        (2.0, "train_loss", {2.0: 1.5}),
        (0.5, "train_loss", {0.5: 6.5, 1.0: 2.5, 1.5: 6.5, 2.0: 2.5}),
        (1.0, "val_acc", {1.0: 0.25, 2.0: 0.25}),
    ],
)
def test_train_figures_are_those_of_the_last_part(tmp_path, every, metric, expected):
    board = Board(tmp_path)
    rule = Rule("patience", 10, first=2, patience=100)
    reporter = BoardReporter(board, "cell", "run", rule, metric=metric, every=every, budget=None)
    for epoch in (1, 2):
        totals = Totals()
        for done in range(1, 9):
            totals.add(9.0 - done)
            assert reporter.batch(epoch, done, 8, totals) is None
        assert reporter.epoch({"epoch": epoch, "train_loss": 4.5, "val_acc": 0.25}) is None
    assert board.read(metric) == {"cell": {"run": expected}}


@pytest.mark.parametrize(("batches", "expected"), [(1, 1.0), (3, 1.0), (5, 1.0), (8, 1.5)])
def test_few_batches_have_short_last_parts(tmp_path, batches, expected):
    board = Board(tmp_path)
    reporter = BoardReporter(board, "cell", "run", Rule("asha", 10), metric="train_loss", every=1.0, budget=None)
    totals = Totals()
    for done in range(1, batches + 1):
        totals.add(batches + 1.0 - done)
        reporter.batch(1, done, batches, totals)
    reporter.epoch({"epoch": 1, "train_loss": 9.0})
    assert board.read("train_loss")["cell"]["run"] == {1.0: expected}


def reporter(board, run, budget):
    rule = Rule("halving", 9)
    return BoardReporter(board, run.upper(), run, rule, metric="train_loss", every=1.0, budget=budget)


def test_halving_judges_nobody_before_the_others_have_come(tmp_path):
    """A run that was killed at the end of its round comes back while most others have not begun."""
    board = Board(tmp_path)
    board.add(Report("A", "a", 1.0, "train_loss", 0.1))
    board.add(Report("B", "b", 1.0, "train_loss", 0.2))
    assert reporter(board, "b", 1.0).resume(1.0).kind == "paused"
    for run, loss in zip("cdef", (0.3, 0.4, 0.5, 0.6), strict=True):
        board.add(Report(run.upper(), run, 1.0, "train_loss", loss))
    assert reporter(board, "b", 3.0).resume(1.0) is None, "the second of six, of which two go on"
    assert reporter(board, "c", 3.0).resume(1.0).kind == "pruned"


def test_a_pruned_run_goes_on_under_halving_when_later_seeds_lift_its_cell(tmp_path, compose):
    configs = {
        (lr, seed): compose("dataset=fashion_mnist_mini", "pruner=halving", "trainer.epochs=4", f"optim.lr={lr}",
                            f"seed={seed}")
        for lr in (0.1, 0.2, 0.3) for seed in (0, 1)
    }  # fmt: skip
    board = Board(tmp_path)
    losses = {(0.1, 0): 0.5, (0.2, 0): 0.4, (0.3, 0): 0.9}
    for cell, loss in losses.items():
        board.add(Report(cell_id(configs[cell]), run_id(configs[cell]), 1.0, "train_loss", loss))
    stopped = RunRecord("id", "run", "s", Status.PRUNED, Objective("test_acc", "max", "last", "test", 0.5))
    stopped.epochs, stopped.error = 1, Failure("pruned", "")
    assert not goes_on(stopped, configs[0.1, 0], tmp_path)
    for cell, loss in {(0.1, 1): 0.1, (0.2, 1): 0.8}.items():
        board.add(Report(cell_id(configs[cell]), run_id(configs[cell]), 1.0, "train_loss", loss))
    assert goes_on(stopped, configs[0.1, 0], tmp_path)
    assert not goes_on(stopped, configs[0.3, 0], tmp_path)
    assert not goes_on(stopped, configs[0.3, 1], tmp_path), "a run of which the board knows nothing"


@pytest.mark.parametrize(("loss", "verdict"), [(0.9, "pruned"), (0.1, None)])
def test_a_run_that_was_killed_before_it_heard_the_verdict_is_judged_when_it_resumes(tmp_path, loss, verdict):
    board = Board(tmp_path)
    for run, figure in (("a", 0.2), ("b", 0.3), ("c", loss)):
        board.add(Report(run.upper(), run, 1.0, "train_loss", figure))
    own = BoardReporter(board, "C", "c", Rule("asha", 9), metric="train_loss", every=1.0, budget=None)
    stop = own.resume(1.0)
    assert (stop and stop.kind) == verdict
    assert own.resume(1.0, was_stopped=True) is None, "it was pruned, and somebody takes it further"
