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
from sweeps.results.inference import ALPHA, McNemar, Paired, holm, in_order, mcnemar, paired
from sweeps.results.ranking import split_name
from sweeps.results.runs import Objective, RunRow
from sweeps.results.settings import Setting, settings_of

PREDICTIONS = "predictions.safetensors"  # what an application may leave in a run's folder; see `right_answers`
# Standard errors that a difference must be worth for a test at 5 % to show it in 80 % of all tries.
_DETECTABLE = 2.8
_TOO_MANY = 1_000  # seeds


@dataclass(frozen=True)
class Comparison:
    """Two settings, the answer as a sentence, what it rests on, and notes. `by_answer` is McNemar's test per seed."""

    first: Setting
    second: Setting
    paired: Paired
    verdict: str  # "yes", "no", "not shown" or "not evidence"
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
            "p": found.p,
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
    a, b = _find(rows, first), _find(rows, second)
    if a == b:
        raise ConfigError(f"--compare: {text.clean(first)} and {text.clean(second)} are the same setting; name two")
    objective = a.objective
    if objective is None or objective != b.objective:
        raise ConfigError(
            f"--compare: {a.label} is ranked by {_metric(a)} and {b.label} by {_metric(b)}, which do not compare; "
            "run both with the same sweep.objective"
        )
    if not objective.is_ranked:
        raise ConfigError(
            f"--compare: nothing says which {objective.name} is better: sweep.objective.direction is not set; set "
            "it to min or max and repeat the command: finished runs are not trained again"
        )
    found = paired(a.by_seed, b.by_seed)
    if found is None:
        raise ConfigError(
            f"--compare: {_seeds(a)} and {_seeds(b)}: there is no common seed with a result, and runs of different "
            "seeds are no pair; run both with the same ones, such as sweep.repeats=5"
        )
    gain = objective.gain(found.difference)
    verdict = "not evidence" if found.p is None else "not shown" if found.p >= ALPHA else "yes" if gain > 0 else "no"
    by_answer = dict(_by_answer(a, b, objective))
    notes = [*_notes(a, b, found, objective), *_answer_notes(by_answer, objective)]
    return Comparison(a, b, found, verdict, _sentence(a, b, found, verdict), notes, by_answer)


def _find(rows: Sequence[RunRow], wanted: str) -> Setting:
    columns = {column.key: column for column in setting_columns(rows)}
    parts: list[tuple[Column | None, str]] = []
    for part in re.split(r",\s*(?=[^,=\[\]]+=|[^,=]+$)", wanted.strip()):
        key, equals, value = part.lstrip("+~").partition("=")
        if equals and key == "seed":
            raise ConfigError(
                f"--compare {text.clean(wanted)} names a seed: settings are compared over all seeds that both have, "
                "since a single pair says nothing of the next; leave seed= out"
            )
        parts += [(find_column(key.strip(), "--compare", rows, list(columns.values())), value)] if equals else []
        parts += [(None, part)] if part and not equals else []
    swept = swept_columns(rows)
    settings = settings_of(rows, swept)
    found = [
        one for one in settings if parts and any(all(_fits(row, one, *part) for part in parts) for row in one.runs)
    ]
    if not found:
        some = "; ".join(one.label for one in settings[:6]) + ("; ..." if len(settings) > 6 else "")
        raise ConfigError(
            f"--compare {text.clean(wanted)} fits no run; name a setting by its values. There are: {some}"
        )
    if len(found) > 1:
        differ = [column.key for at, column in enumerate(swept) if len({one.shown[at] for one in found}) > 1]
        differ = differ or ["sweep"] * (len({one.runs[0].sweep for one in found}) > 1)
        if not differ:
            raise ConfigError(f"--compare {text.clean(wanted)}: its runs are ranked by different objectives")
        raise ConfigError(
            f"--compare {text.clean(wanted)} fits {len(found)} settings, which differ in {', '.join(differ)}: name one "
            f"of them, such as {text.clean(wanted)},{differ[0]}=..."
        )
    return found[0]


def _fits(row: RunRow, one: Setting, column: Column | None, value: str) -> bool:
    """Whether a setting has the value that was typed; a bare word is a name, or the text of any swept setting."""
    if column is None:
        return value in (row.name, row.sweep, one.label) or value in one.shown
    return value == column.show(row) or _alike(column.get(row), value)


def _alike(setting: Any, typed: str) -> bool:
    figure = text.number(setting)
    if figure is not None:
        try:
            return math.isclose(figure, float(typed), rel_tol=1e-12)
        except ValueError:
            return False
    return text.setting(setting).casefold() == typed.casefold()


def _metric(one: Setting) -> str:
    return f"the {one.objective.title}" if one.objective else "nothing"


def _seeds(one: Setting) -> str:
    seeds = ", ".join(str(seed) for seed in in_order(one.by_seed)) or "none"
    return f"{one.label} has results for the seeds {seeds}" if one.n != 1 else f"{one.label} has one for seed {seeds}"


def _sentence(a: Setting, b: Setting, found: Paired, verdict: str) -> str:
    seeds = in_order(a.by_seed.keys() & b.by_seed.keys())
    means = [statistics.fmean(one.by_seed[seed] for seed in seeds) for one in (a, b)]
    name = a.objective.name if a.objective else "objective"
    figures = f"{name} {text.figure(means[0])} against {text.figure(means[1])}"
    if found.p is None:
        return (
            f"Not evidence: {a.label} and {b.label} share one seed ({figures}); a single pair says nothing of the "
            "next: run both with sweep.repeats=5."
        )
    low, high = (_signed(end) for end in found.interval[:2]) if found.interval else ("", "")
    reach = f"[{low}, {high}] (95 %, {found.interval.method})" if found.interval else "without any spread"
    rests_on = (
        f"{_signed(found.difference)} {reach} over {found.n} matched seeds, {found.test}, {text.p_value(found.p)}"
    )
    if verdict == "yes":
        return f"Yes: {a.label} is better than {b.label}: {figures}, {rests_on}."
    if verdict == "no":
        return f"No: {b.label} is better than {a.label}: {figures}, {rests_on}."
    return f"Not shown: {a.label} and {b.label} may be equally good: {figures}, {rests_on}."


def _signed(value: float) -> str:
    return f"{'+' if value >= 0 else ''}{text.figure(value)}"


def _notes(a: Setting, b: Setting, found: Paired, objective: Objective) -> Iterator[str]:
    if objective.split:
        yield f"{_metric(a).capitalize()} is measured on {split_name(objective.split)}."
    for one in (a, b):
        if one.apart:
            yield f"{one.label}: runs that were not completed: {text.counted(one.apart.items())}."
    if found.p is not None and found.p >= ALPHA and found.std and found.difference:
        needed = math.ceil((_DETECTABLE * found.std / found.difference) ** 2)
        if needed > _TOO_MANY:
            yield f"More than {_TOO_MANY:,} seeds would be needed to show a difference this small."
        elif needed > found.n:
            yield f"About {needed:,} seeds would show a difference of this size."


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
