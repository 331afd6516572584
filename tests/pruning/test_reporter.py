"""What a run puts on the board: the figure of its latest part, not of how it began."""

from types import SimpleNamespace

import pytest

from sweeps.pruning import Board, Rule
from sweeps.pruning.reporter import BoardReporter


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
