"""Is A better than B? One sentence with the difference, its interval and the test, and answer by answer."""

import math
import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweeps.errors import ConfigError
from sweeps.record.files import LINES_LIMIT, read_bytes
from sweeps.results import format as text
from sweeps.results.columns import Column, find_column, setting_columns, swept_columns
from sweeps.results.inference import ALPHA, MOST_SEEDS, McNemar, Paired, holm, in_order, mcnemar, paired, seeds_needed
from sweeps.results.looks import level_of, looks_at, seeds_of
from sweeps.results.ranking import split_name
from sweeps.results.runs import Objective, RunRow
from sweeps.results.settings import BEST, Setting, judged, settings_of

PREDICTIONS = "predictions.safetensors"  # what an application may leave in a run's folder; see `right_answers`


class NoPair(ConfigError):
    """The two settings share no seed with a result."""

    def __init__(self, first: Setting, second: Setting, text: str) -> None:
        super().__init__(text)
        self.first, self.second = first, second


@dataclass(frozen=True)
class Comparison:
    """Two settings, the answer as a sentence, what it rests on, and notes. `by_answer` is McNemar's test per seed.

    `p` is the table's where one of the two is the best of several, since it was picked by looking; else that of the
    pair.
    """

    first: Setting
    second: Setting
    paired: Paired
    p: float | None
    needed: tuple[int, int | None] | None  # seeds that would show such a difference in 80 % of tries, from and to
    verdict: str  # "yes", "no", "not shown", "unstable" or "not evidence"
    sentence: str
    notes: list[str] = field(default_factory=list)
    by_answer: dict[Any, McNemar] = field(default_factory=dict)

    def fields(self) -> dict[str, Any]:
        """The comparison for other programs."""
        found, between, objective = self.paired, self.paired.interval, self.first.objective
        corrected = zip(self.by_answer.items(), _corrected(self.by_answer), strict=True)
        return {
            "first": self.first.label,
            "second": self.second.label,
            "objective": objective.name if objective else None,
            "split": objective.split if objective else None,
            "verdict": self.verdict,
            "sentence": self.sentence,
            "n": found.n,
            "difference": found.difference,
            "low": between.low if between else None,
            "high": between.high if between else None,
            "interval": between.method if between else None,
            "p": self.p,
            "p_uncorrected": found.p,
            "test": found.test,
            "notes": self.notes,
            "mcnemar": {
                str(seed): {
                    "only_first": test.only_first, "only_second": test.only_second,
                    "p_uncorrected": test.p, "p_holm": p,
                }
                for (seed, test), p in corrected
            },
        }  # fmt: skip


def compare(rows: Sequence[RunRow], first: str, second: str) -> Comparison:
    """Whether the runs that `first` names are better than those that `second` names.

    Each names one setting by what tells it apart: `model=nin,optim.lr=0.1`, a value alone (`nin`), a sweep, or a run's
    name (of which the seed does not count).

    Raises:
        ConfigError: a name fits no setting or several, both are one, they share no seed, or nothing is ranked.
    """
    columns = swept_columns(rows)
    settings = judged(settings_of(rows, columns))
    a, b = (_find(rows, settings, columns, wanted) for wanted in (first, second))
    if a == b:
        raise ConfigError(f"{text.clean(first)} and {text.clean(second)} are the same setting; name two")
    objective = a.objective
    if objective is None or objective != b.objective:
        metrics = [f"the {one.objective.title}" if one.objective else "nothing" for one in (a, b)]
        raise ConfigError(
            f"{a.label} is ranked by {metrics[0]} and {b.label} by {metrics[1]}, which do not compare; "
            "run both with the same sweep.objective"
        )
    if not objective.is_ranked:
        raise ConfigError(
            f"nothing says which {objective.name} is better: sweep.objective.direction is not set; set "
            "it to min or max and repeat the command: finished runs are not trained again"
        )
    found = paired(a.by_seed, b.by_seed)
    if found is None:
        why = "there is no common seed with a result, and runs of different seeds are no pair"
        raise NoPair(a, b, f"{_seeds(a)} and {_seeds(b)}: {why}; run both with the same ones, such as sweep.repeats=5")
    compared = sum(one.objective == objective and one.is_sound for one in settings)
    level = level_of(settings)
    is_of_table = a.is_sound and b.is_sound and BEST in (a.standing, b.standing)
    gain = objective.gain(found.difference)
    p = (b if a.standing == BEST else a).p
    if not is_of_table:
        p = min(found.p * ALPHA / level, 1.0) if found.p is not None and level else None
    elif (a if gain > 0 else b).standing != BEST:
        p = None  # the other one left a race under another leader: this pair was not tested
    if found.p is None:
        verdict = "not evidence"
    elif (a if gain > 0 else b).lost:
        verdict = "unstable"
    else:
        verdict = "not shown" if p is None or p >= ALPHA else "yes" if gain > 0 else "no"
    tests = max(compared - 1, 2) if is_of_table else 2
    left = min((looks.after(seeds_of(settings)) for looks in looks_at(settings)), default=ALPHA)
    needed = seeds_needed(found, left / tests) if left else None
    by_answer = dict(_by_answer(a, b, objective))
    sentence = _sentence(a, b, found, p, verdict, gain)
    notes = [*_notes(a, b, found, compared, is_of_table, verdict, needed), *_answer_notes(by_answer, objective)]
    return Comparison(a, b, found, p, needed, verdict, sentence, notes, by_answer)


def _find(rows: Sequence[RunRow], settings: Sequence[Setting], swept: Sequence[Column], wanted: str) -> Setting:
    columns = setting_columns(rows)
    parts: list[tuple[Column | None, str]] = []
    for part in re.split(r",\s*(?=[^,=\[\]]+=|[^,=]+$)", wanted.strip()):
        key, equals, value = part.lstrip("+~").partition("=")
        if equals and key == "seed":
            raise ConfigError(
                f"{text.clean(wanted)} names a seed: settings are compared over all seeds that both have, "
                "since a single pair says nothing of the next; leave seed= out"
            )
        if part:
            column = find_column(key.strip(), "--compare", rows, columns) if equals else None
            parts.append((column, value if equals else part))
    found = [
        one for one in settings if parts and any(all(_fits(row, one, *part) for part in parts) for row in one.runs)
    ]
    if not found:
        some = "; ".join(one.label for one in settings[:6]) + ("; ..." if len(settings) > 6 else "")
        raise ConfigError(f"{text.clean(wanted)} fits no run; name a setting by its values. There are: {some}")
    if len(found) > 1:
        differ = [column.key for at, column in enumerate(swept) if len({one.shown[at] for one in found}) > 1]
        differ = differ or ["sweep"] * (len({one.runs[0].sweep for one in found}) > 1)
        if not differ:
            raise ConfigError(f"{text.clean(wanted)}: its runs are ranked by different objectives")
        raise ConfigError(
            f"{text.clean(wanted)} fits {len(found)} settings, which differ in {', '.join(differ)}: name one "
            f"of them, such as {text.clean(wanted)},{differ[0]}=..."
        )
    return found[0]


def _fits(row: RunRow, one: Setting, column: Column | None, value: str) -> bool:
    """Whether a setting has the value that was typed; a bare word is a name, or the text of any swept setting."""
    if column is None:
        return value in (row.name, row.sweep, one.label) or value in one.shown
    setting = column.get(row)
    if (figure := text.number(setting)) is not None:
        try:
            return math.isclose(figure, float(value), rel_tol=1e-12)
        except ValueError:
            return False
    return value == column.show(row) or text.setting(setting).casefold() == value.casefold()


def _seeds(one: Setting) -> str:
    seeds = ", ".join(str(seed) for seed in in_order(one.by_seed))
    if not seeds:
        return f"{one.label} has no result"
    return f"{one.label} has results for the seeds {seeds}" if one.n != 1 else f"{one.label} has one for seed {seeds}"


def _sentence(a: Setting, b: Setting, found: Paired, p: float | None, verdict: str, gain: float) -> str:
    seeds = a.by_seed.keys() & b.by_seed.keys()
    means = [statistics.fmean(one.by_seed[seed] for seed in seeds) for one in (a, b)]
    name = a.objective.name if a.objective else "objective"
    figures = f"{name} {text.figure(means[0])} against {text.figure(means[1])}"
    if verdict == "not evidence":
        return (
            f"Not evidence: {a.label} and {b.label} share one seed ({figures}); a single pair says nothing of the "
            "next: run both with sweep.repeats=5."
        )
    if verdict == "unstable":
        lead = a if gain > 0 else b
        return (
            f"Unstable: {lead.label} seems better, {figures} over {text.plural(found.n, 'matched seed')}, but lost "
            f"{lead.lost} of {lead.n + lead.lost} runs: a mean over survivors flatters it, so nothing is shown."
        )
    low, high = (_signed(end) for end in found.interval[:2]) if found.interval else ("", "")
    reach = f"[{low}, {high}] (95 %, {found.interval.method})" if found.interval else "without any spread"
    tested = f"{found.test}, {'no p' if p is None else text.p_value(p)}"
    rests_on = f"{figures}, {_signed(found.difference)} {reach} over {found.n} matched seeds, {tested}"
    if verdict == "not shown":
        return f"Not shown: {a.label} and {b.label} may be equally good: {rests_on}."
    better, worse = (a, b) if verdict == "yes" else (b, a)
    return f"{verdict.capitalize()}: {better.label} is better than {worse.label}: {rests_on}."


def _signed(value: float) -> str:
    return f"{'+' if value >= 0 else ''}{text.figure(value)}"


def _notes(
    a: Setting,
    b: Setting,
    found: Paired,
    compared: int,
    of_table: bool,
    verdict: str,
    needed: tuple[int, int | None] | None,
) -> Iterator[str]:
    if a.objective and a.objective.split:
        yield f"The {a.objective.title} is measured on {split_name(a.objective.split)}."
    for one in (a, b):
        if one.apart:
            yield f"{one.label}: runs that were not completed: {text.counted(one.apart.items())}."
    if found.p is not None and compared > 2 and verdict != "unstable":
        pairs = compared * (compared - 1) // 2
        looked = f"it is {text.p_value(min(1.0, found.p * pairs))} (all {pairs:,} pairs)"
        if of_table:
            best, other = (one.label for one in ((a, b) if a.standing == BEST else (b, a)))
            yield (
                f"p is that of the table: {best} was picked by looking, as the best of {compared}. If {other} "
                f"was, too, {looked}."
            )
        else:
            yield f"p is for a pair chosen beforehand. If it was picked by looking at {compared} settings, {looked}."
    if verdict == "not shown" and needed:
        least, most = needed
        reach = f"{least:,} to {most:,} seeds" if most else f"From {least:,} to more than {MOST_SEEDS:,} seeds"
        yield f"{reach} would show such a difference in 80 % of tries, if it is real."


def right_answers(run: Path, objective: Objective) -> tuple[Any, Any] | None:
    """(right, expected answers) of a run, one entry per example; None where it has left none, or the file is damaged.

    An application may leave `predictions.safetensors` in `run.dir`, with a tensor `val_labels` (or `test_labels`, as
    `sweep.objective.split` says) of the expected answers and a tensor of those given: named as the metric is before
    its last `_` (`val_ema` for `val_ema_acc`), or as the split.
    """
    try:
        content = read_bytes(run / PREDICTIONS, LINES_LIMIT)
    except OSError:
        return None
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        kept: Mapping[str, Any] = load(content)
    except (LookupError, TypeError, ValueError, SafetensorError):
        return None
    expected = kept.get(f"{objective.split}_labels")
    given = kept.get(objective.metric.rpartition("_")[0], kept.get(objective.split))
    if expected is None or given is None or expected.shape != given.shape or expected.ndim != 1:
        return None
    return given == expected, expected


def _by_answer(a: Setting, b: Setting, objective: Objective) -> Iterator[tuple[Any, McNemar]]:
    runs = [{row.seed: row.path for row in reversed(one.runs) if row.counts} for one in (a, b)]
    for seed in in_order(a.by_seed.keys() & b.by_seed.keys()):
        kept = [right_answers(paths[seed], objective) for paths in runs]
        if kept[0] is None or kept[1] is None:
            continue
        (first, first_expected), (second, second_expected) = kept[0], kept[1]
        if first_expected.shape == second_expected.shape and bool((first_expected == second_expected).all()):
            yield seed, mcnemar(first, second)


def _corrected(by_answer: Mapping[Any, McNemar]) -> list[float]:
    return holm([test.p for test in by_answer.values()])


def _answer_notes(by_answer: Mapping[Any, McNemar], objective: Objective) -> Iterator[str]:
    if not by_answer:
        return
    for (seed, test), p in zip(by_answer.items(), _corrected(by_answer), strict=True):
        yield (
            f"Seed {seed}, answer by answer on {split_name(objective.split)}: {test.only_first} only the first has "
            f"right, {test.only_second} only the second (McNemar's exact test, {text.p_value(p)}"
            f"{', Holm' if len(by_answer) > 1 else ''})."
        )
    yield "McNemar's test is about these two runs alone; whether a setting is better, only seeds can show."
