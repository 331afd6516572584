"""The order of runs, and the sentences that say what it was chosen on.

The rule: finished runs by their objective, after the completed ones those that were pruned, whose figures are of fewer
epochs, and last among them those without one (diverged); then runs under way, by
their figures so far; then failed ones; then unreadable ones. Equal values share a rank and keep the order of their
paths. Only finished runs have a rank: a run under way may still change.

Runs with different objectives do not compare. Each objective's runs are ranked among themselves, ranks begin again,
and the objective with the most runs stands first.
"""

import dataclasses
from collections import Counter
from collections.abc import Sequence

from sweeps.record.records import Status
from sweeps.results.format import plural
from sweeps.results.runs import UNREADABLE, Criterion, RunRow

_SPLITS = {"test": "the test set", "val": "the validation split", "train": "the training set"}


def criteria(rows: Sequence[RunRow]) -> list[Criterion]:
    """The objectives of `rows`, that of the most runs first."""
    return [found for found, _ in Counter(row.criterion for row in rows if row.criterion).most_common()]


def rank(rows: Sequence[RunRow]) -> list[RunRow]:
    """`rows` in the order of the rule above, `rank` filled in for the finished ones."""
    places = {criterion: place for place, criterion in enumerate(criteria(rows))}

    def key(row: RunRow) -> tuple[int, int, bool, bool, float]:
        place = places[row.criterion] if row.criterion else 0
        gain = row.criterion.gain(row.value) if row.criterion and row.value is not None else None
        return _phase(row), place, gain is None, row.status == Status.PRUNED, -(gain or 0.0)

    ranked: list[RunRow] = []
    standing: Counter[Criterion | None] = Counter()
    for row in sorted(rows, key=key):
        standing[row.criterion] += 1
        before = ranked[-1] if ranked else None
        if not row.is_finished:
            place = None
        elif before and _figure(before) == _figure(row):
            place = before.rank
        else:
            place = standing[row.criterion]
        ranked.append(dataclasses.replace(row, rank=place))
    return ranked


def _figure(row: RunRow) -> tuple[Criterion | None, float | None, bool]:
    """What equal ranks have in common: the figure, of whole runs or of pruned ones."""
    return row.criterion, row.value, row.status == Status.PRUNED


def is_best(row: RunRow) -> bool:
    """Whether a ranked row is the best, or one of several equal ones, for its objective."""
    return row.rank == 1 and row.has_result


def _phase(row: RunRow) -> int:
    if row.is_finished:
        return 0
    if row.is_unfinished:
        return 1
    return 2 if row.status == Status.FAILED else 3


def images(split: str) -> str:
    """The name of a split in a sentence."""
    return _SPLITS.get(split, f"the {split} split")


def chosen_on(criterion: Criterion, noun: str = "run", ranked: str = "Ranked") -> str:
    """The sentence that stands under every ranking: what the figure is, and which images chose the best."""
    where = images(criterion.split)
    epoch = "each run's best epoch" if criterion.epoch == "best" else f"the {criterion.epoch} epoch"
    lower = " (lower is better)" if criterion.direction == "min" else ""
    chosen = f"the best epoch and the best {noun} were" if criterion.epoch == "best" else f"the best {noun} was"
    apart = ", not on the test set" if criterion.split == "val" else ""
    return f"{ranked} by {criterion.metric} of {epoch}{lower}, measured on {where}: {chosen} chosen on {where}{apart}."


def sentences(rows: Sequence[RunRow], noun: str = "run") -> list[str]:
    """What a ranking of `rows` was chosen on, one sentence per objective."""
    found = criteria(rows)
    if not found:
        return ["Nothing is ranked: no record can be read."]
    mixed = (
        f"These runs have {plural(len(found), 'objective')}, which do not compare: each is ranked among its own, "
        "that of the most runs first."
    )
    if not any(row.has_result for row in rows):
        return [
            "Nothing is ranked: no finished run has a figure."
            if any(row.is_finished for row in rows)
            else "Nothing is ranked yet: no run is finished."
        ]
    return [*([mixed] if len(found) > 1 else []), *(chosen_on(criterion, noun) for criterion in found)]


def tally(rows: Sequence[RunRow]) -> str:
    """`12 runs: 9 completed, 1 diverged, 2 failed`."""
    counts = Counter(row.status for row in rows)
    order = sorted(Status, key=lambda status: (not status.is_finished, status is not Status.FAILED))
    parts = [f"{counts[status]:,} {status}" for status in (*order, UNREADABLE) if counts[status]]
    return f"{plural(len(rows), 'run')}: {', '.join(parts)}"


def saved_by_pruning(rows: Sequence[RunRow]) -> str:
    """`Pruning: 12 of 24 epochs trained.`: of the runs that ended as they should, whole or pruned."""
    ended = [row for row in rows if row.status in (Status.COMPLETED, Status.PRUNED) and row.epochs_asked is not None]
    trained = sum(row.epochs_done if row.stopped_at is None else row.stopped_at for row in ended)
    asked = sum(row.epochs_asked or 0 for row in ended)
    return f"Pruning: {f'{trained:,.1f}'.removesuffix('.0')} of {plural(asked, 'epoch')} trained."
