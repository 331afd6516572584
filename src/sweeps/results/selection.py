"""Honest selection: what was chosen on held-out images is reported on the test set once, for the chosen one alone."""

import statistics
from collections.abc import Iterator, Sequence

from sweeps.results import format as text
from sweeps.results.runs import RunRow
from sweeps.results.settings import BEST, Cell


def chosen_figure(cells: Sequence[Cell]) -> Iterator[str]:
    """The test accuracy of the best cell of each objective that is not measured on the test set itself."""
    for cell in cells:
        if cell.standing == BEST and cell.criterion is not None and cell.criterion.split == "val":
            tested = [row.test_acc for row in cell.rows if row.has_full_figure and row.test_acc is not None]
            if tested:
                spread = f" ± {statistics.stdev(tested):.4f} (std, n = {len(tested)})" if len(tested) > 1 else ""
                yield (
                    f"Chosen: {cell.label}. On the test set, which took no part in the choice, it has an accuracy of "
                    f"{text.fraction(statistics.fmean(tested))}{spread}."
                )


def best_run_tested(rows: Sequence[RunRow]) -> Iterator[str]:
    """The same for the best single run of a ranking."""
    for row in rows:
        if row.rank == 1 and row.has_full_figure and row.criterion is not None and row.criterion.split == "val":
            if row.test_acc is not None:
                yield (
                    f"The best run has a test accuracy of {text.fraction(row.test_acc)}; the test set took no part in "
                    "the choice."
                )
            return
