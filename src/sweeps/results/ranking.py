"""The order of runs, and the sentences that say what it was chosen on.

The rule: completed runs by their objective, those of settings that lost other seeds after all others, for a value among
survivors is luck; then those that were pruned, whose values are of fewer steps, and those without one (diverged); then
pending, running and interrupted ones, by their values so far; then failed ones; then unreadable ones. Equal values
share a rank and keep the order of their paths. Only finished runs have a rank: one that is running may still change.

Runs with different objectives do not compare. Each objective's runs are ranked among themselves, ranks begin again,
and the objective with the most runs stands first. Runs whose objective has no direction have no rank, and keep the
order of their paths.
"""

import dataclasses
from collections import Counter
from collections.abc import Sequence

from sweeps.record.records import Status
from sweeps.results.format import counted, number, plural, steps
from sweeps.results.runs import UNREADABLE, Objective, RunRow

NO_RANKING = "no ranking: sweep.objective.direction is not set"
_SPLITS = {"test": "the test set", "val": "the validation split", "train": "the training set"}


def objectives(rows: Sequence[RunRow]) -> list[Objective]:
    """The objectives of `rows`, that of the most runs first."""
    return [found for found, _ in Counter(row.objective for row in rows if row.objective).most_common()]


def rank(rows: Sequence[RunRow]) -> list[RunRow]:
    """`rows` in the order of the rule above, `rank` filled in for the finished ones."""
    places = {objective: place for place, objective in enumerate(objectives(rows))}
    if not any(objective.is_ranked for objective in places):
        return [dataclasses.replace(row, rank=None) for row in rows]

    lost = {(row.objective, row.setting_id) for row in rows if row.is_lost}
    rows = [
        dataclasses.replace(row, is_survivor=row.counts and (row.objective, row.setting_id) in lost) for row in rows
    ]

    def key(row: RunRow) -> tuple[int, int, bool, bool, bool, float]:
        place, phase = places[row.objective] if row.objective else 0, _phase(row)
        if row.objective is None or not row.objective.is_ranked:
            return phase, place, False, False, False, 0.0
        gain = None if row.value is None else row.objective.gain(row.value)
        return phase, place, gain is None, row.status == Status.PRUNED, row.is_survivor, -(gain or 0.0)

    ranked: list[RunRow] = []
    standing: Counter[Objective | None] = Counter()
    equal: object = None  # what equal ranks have in common
    place: int | None = None
    for row in sorted(rows, key=key):
        standing[row.objective] += 1
        if not row.is_finished or row.objective is None or not row.objective.is_ranked:
            place = None
        elif equal != (equal := (row.objective, row.value, row.status == Status.PRUNED, row.is_survivor)):
            place = standing[row.objective]
        ranked.append(dataclasses.replace(row, rank=place))
    return ranked


def _phase(row: RunRow) -> int:
    if row.is_finished:
        return 0
    if row.is_unfinished:
        return 1
    return 2 if row.status == Status.FAILED else 3


def split_name(split: str) -> str:
    """The name of a split in a sentence."""
    return _SPLITS.get(split, f"the {split} split")


def ranked_on(objective: Objective, noun: str = "run", ranked: str = "Ranked") -> str:
    """The sentence that stands under every ranking: what the value is, and what the best was chosen on."""
    if not objective.is_ranked:
        return NO_RANKING
    best = objective.report == "best"
    value = f"the {objective.title}" if objective.metric else "the returned value"
    lower = " (lower is better)" if objective.direction == "min" else ""
    if not objective.split:
        optimistic = ", which is optimistic: each run's best report was chosen by it" if best else ""
        return f"{ranked} by {value}{lower}{optimistic}."
    where = split_name(objective.split)
    chosen = f"each run's best report and the best {noun} were" if best else f"the best {noun} was"
    apart = ", not on the test set" if objective.split == "val" else ""
    return f"{ranked} by {value}{lower}, measured on {where}: {chosen} chosen on {where}{apart}."


def sentences(rows: Sequence[RunRow], noun: str = "run") -> list[str]:
    """What a ranking of `rows` was chosen on, one sentence per objective."""
    found = objectives(rows)
    if not found:
        return ["Nothing is ranked: no record can be read."]
    if not any(objective.is_ranked for objective in found):
        return [NO_RANKING]
    if not any(row.has_result for row in rows):
        is_over = any(row.is_finished for row in rows)
        why = ": no finished run has a value." if is_over else " yet: no run is finished."
        return [f"Nothing is ranked{why}"]
    mixed = (
        f"These runs have {plural(len(found), 'objective')}, which do not compare: each is ranked among its own, "
        "that of the most runs first."
    )
    return [*([mixed] if len(found) > 1 else []), *dict.fromkeys(ranked_on(one, noun) for one in found)]


def tally(rows: Sequence[RunRow]) -> str:
    """`12 runs: 9 completed, 1 diverged, 2 failed`."""
    counts = Counter(row.status for row in rows)
    order = sorted(Status, key=lambda status: (not status.is_finished, status is not Status.FAILED))
    found = [(str(status), counts[status]) for status in (*order, UNREADABLE) if counts[status]]
    return f"{plural(len(rows), 'run')}: {counted(found)}"


def saved_by_pruning(rows: Sequence[RunRow]) -> str:
    """`12 of 24 steps were done.`: by completed and pruned runs; empty where `max_steps` is unknown."""
    ended = [row for row in rows if row.status in (Status.COMPLETED, Status.PRUNED) and row.max_steps]
    total = sum(row.max_steps or 0.0 for row in ended)
    return f"{steps(sum(row.steps or 0.0 for row in ended))} of {steps(total)} steps were done." if ended else ""


def tested(row: RunRow) -> tuple[str, float | None]:
    """The metric that tells on the test set what the objective tells on the validation split, and its value.

    That of an objective `val_loss` is `test_loss`: it took no part in the choice, so it is shown for the best alone.
    """
    if row.objective is None or row.objective.split != "val" or not row.objective.metric.startswith("val_"):
        return "", None
    name = f"test_{row.objective.metric.removeprefix('val_')}"
    return name, number(row.chosen.get(name))
