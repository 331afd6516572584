"""The pruners, as pure functions of what was reported; more is better in all of them. Never imports torch.

Settings are compared, by the mean of those of their seeds that have reported as many steps: the seeds of one setting
do not compete with each other.

SuccessiveHalvingPruner  Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning" (its stopping form)
HyperbandPruner          Li et al. 2018, "Hyperband": the same from several first rungs or none, a share of them each
HalvingPruner            Jamieson, Talwalkar 2016: all runs to a rung, then the best ones to the next
MedianPruner             Golovin et al. 2017, "Google Vizier", section 3.2.2
"""

import hashlib
import itertools
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sweeps.errors import ConfigError
from sweeps.record.typed import is_number

Values = Mapping[float, float]  # steps -> value, turned so that more is better

SLACK = 1e-6  # steps: what rounding may cost; the report log keeps as many digits


@dataclass(frozen=True)
class Comparison:
    """What is known of a run, and of those it competes with, when it is judged.

    `own` are its reports up to now, at least one, `siblings` those of the other seeds of its setting, `rivals` those of
    the runs of every other setting, by setting_id. `max_steps` is how many steps a whole run has, None where nobody
    said.
    """

    own: Values
    siblings: Sequence[Values]
    rivals: Mapping[str, Sequence[Values]]
    setting: str
    max_steps: float | None = None


class Pruner:
    """Decides which runs are not worth their remaining steps. The base class stops none.

    A subclass is pure: it decides from the comparison alone, and so repeats its decision whenever it is asked again.
    It gets its parameters as keyword arguments, from the keys of its config in the group `sweep/pruner`.
    """

    @property
    def name(self) -> str:
        """What messages call it."""
        return type(self).__name__

    def prune(self, comparison: Comparison) -> str | None:
        """The reason to stop the run after its last report, or None to continue.

        It is not asked about a run that has reported its last step.
        """
        return None

    def rounds(self, max_steps: float | None) -> list[float]:
        """Steps at which all runs wait for each other before they are judged; none for pruners that compare at once.

        Called before the first run starts.

        Raises:
            ConfigError: the pruner cannot work with so many steps, or needs to know how many they are.
        """
        return []


class MedianPruner(Pruner):
    """Stops a run whose best value is worse than the median of the other settings' averages up to the same step.

    Args:
        n_startup_trials: other settings that must have reported this step before a run can be stopped.
        n_warmup_steps: steps that every run is given.
    """

    name = "median"

    def __init__(self, *, n_startup_trials: int = 4, n_warmup_steps: float = 1.0) -> None:
        _check(
            "n_startup_trials", n_startup_trials, "at least one other setting", lambda v: isinstance(v, int) and v >= 1
        )
        _check("n_warmup_steps", n_warmup_steps, "a number of steps of at least 0, such as 1", lambda v: v >= 0)
        self._least, self._warmup = n_startup_trials, n_warmup_steps

    def prune(self, comparison: Comparison) -> str | None:
        step = max(comparison.own)
        if step < self._warmup - SLACK:
            return None
        own = (comparison.own, *comparison.siblings)
        best = _mean(max(reached) for values in own if (reached := _until(values, step)))
        averages = _means(comparison.rivals.values(), lambda values: _mean(_until(values, step)))
        if best is None or len(averages) < self._least or best >= statistics.median(averages):
            return None
        return f"best value is worse than the median of {len(averages)} others at step {step:g}"


class PatientPruner(Pruner):
    """Stops a run whose value has not improved for some steps; it compares no other runs.

    Args:
        patience: steps without improvement.
        min_delta: a smaller change is no improvement.
    """

    name = "patience"

    def __init__(self, *, patience: float = 3.0, min_delta: float = 0.0) -> None:
        _check("patience", patience, "a number of steps above 0, such as 3", lambda v: v > 0)
        _check("min_delta", min_delta, "a change of at least 0, such as 0.001", lambda v: v >= 0)
        self._patience, self._min_delta = patience, min_delta

    def prune(self, comparison: Comparison) -> str | None:
        own = comparison.own
        best, since = -float("inf"), 0.0
        for step in sorted(own):
            if own[step] > best + self._min_delta:
                best, since = own[step], step
        without = max(own) - since
        if without < self._patience - SLACK:
            return None
        return f"no improvement for {without:g} steps{_noisy(own)}"


class SuccessiveHalvingPruner(Pruner):
    """At each rung the best one in `reduction_factor` continues; no run waits for others (asha).

    Args:
        min_resource: the first rung, in steps; None is a tenth of all steps, and at least 1.
        reduction_factor: the next rung is so many times as far.
    """

    name = "asha"

    def __init__(self, *, min_resource: float | None = None, reduction_factor: int = 3) -> None:
        if min_resource is not None:
            said = "the first rung is a number of steps above 0, such as 1"
            _check("min_resource", min_resource, said, lambda v: v > 0)
        rule = "one in how many continues, a whole number of at least 2, such as 3"
        _check("reduction_factor", reduction_factor, rule, lambda v: isinstance(v, int) and v >= 2)
        self._first, self._factor = min_resource, reduction_factor

    def prune(self, comparison: Comparison) -> str | None:
        return self._ranked(comparison, None, comparison.rivals.values())

    def rungs(self, max_steps: float | None, first: float | None = None) -> Iterator[float]:
        """The steps at which runs are compared: `min_resource`, then `reduction_factor` times as many each.

        The last is at most `max_steps / reduction_factor`, since a later one would save little, and would stop runs
        that are better judged by their final value. Without `max_steps` there is no last one.
        """
        tenth = max(1.0, float(round((max_steps or 0.0) / 10)))
        rung = begin = first or self._first or tenth
        while (
            max_steps is None
            or rung * self._factor < max_steps + SLACK
            or (rung == begin and rung < max_steps - SLACK)  # the first one there is in any case
        ):
            yield rung
            rung *= self._factor

    def _ranked(self, comparison: Comparison, first: float | None, rivals: Iterable[Sequence[Values]]) -> str | None:
        """One setting in `reduction_factor` of those that have reached the rung continues; the first always does.

        A run is judged when it reaches a rung, and not again before the next one.
        """
        step = max(comparison.own)
        rungs = self.rungs(comparison.max_steps, first)
        reached = list(itertools.takewhile(lambda rung: rung <= step + SLACK, rungs))
        if not reached or any(reached[-1] - SLACK <= earlier < step for earlier in comparison.own):
            return None
        rung = reached[-1]
        value = _mean(_at_rung(values, rung) for values in (comparison.own, *comparison.siblings))
        others = _means(rivals, lambda values: _at_rung(values, rung))
        if value is None:
            return None
        better, count = sum(other > value for other in others), len(others) + 1
        kept = max(1, count // self._factor)
        if better < kept:
            return None
        return f"rank {better + 1} of {count} at rung {rung:g}; top {kept} continue{'s' * (kept == 1)}"


class HyperbandPruner(SuccessiveHalvingPruner):
    """asha with several first rungs, in case early values mislead: most settings are judged at the first, some never.

    Settings compete within their bracket, which is drawn from the setting alone.
    """

    name = "hyperband"

    def prune(self, comparison: Comparison) -> str | None:
        first = self.bracket(comparison.setting, comparison.max_steps)
        same = (  # looked through at a rung only
            runs for setting, runs in comparison.rivals.items() if self.bracket(setting, comparison.max_steps) == first
        )
        return self._ranked(comparison, first, same)

    def rounds(self, max_steps: float | None) -> list[float]:
        _need_max_steps(self.name, max_steps)  # the brackets depend on it, though no run waits
        return []

    def bracket(self, setting: str, max_steps: float | None) -> float:
        """The first rung of this setting; `max_steps` in the last bracket, which stops none (s = 0 in the paper)."""
        last = _need_max_steps(self.name, max_steps)
        firsts = [*self.rungs(last), last]
        weights = [self._factor ** (len(firsts) - 1 - place) / (len(firsts) - place) for place in range(len(firsts))]
        drawn = int.from_bytes(hashlib.sha256(setting.encode()).digest()[:6]) / 2**48 * sum(weights)
        for first, weight in zip(firsts, weights, strict=True):
            drawn -= weight
            if drawn < 0:
                return first
        return last


class HalvingPruner(SuccessiveHalvingPruner):
    """All runs to the first rung, the best of them to the next: fewest steps, in rounds that wait for all runs."""

    name = "halving"

    def rounds(self, max_steps: float | None) -> list[float]:
        return list(self.rungs(_need_max_steps(self.name, max_steps)))


def _check(key: str, value: Any, rule: str, holds: Callable[[Any], bool]) -> None:
    if not is_number(value) or not holds(value):
        raise ConfigError(f"sweep.pruner.{key}={value} is invalid: {rule}")


def _need_max_steps(name: str, max_steps: float | None) -> float:
    if max_steps is None:
        raise ConfigError(
            f"sweep/pruner={name} needs the number of steps of a whole run, and sweep.max_steps is null: name the key "
            "that holds it, such as sweep.max_steps=${epochs}, or use sweep/pruner=asha"
        )
    return max_steps


def _noisy(values: Values) -> str:
    """What to say of values that go up and down, half of the time or more: then luck decides when patience ends."""
    changes = [after - before for before, after in itertools.pairwise(values[step] for step in sorted(values))]
    turns = sum(before * after < 0 for before, after in itertools.pairwise(changes))
    if len(changes) < 4 or 2 * turns < len(changes) - 1:
        return ""
    return f", but its values go up and down ({turns} turns in {len(values)} reports): raise sweep.pruner.patience"


def _at_rung(values: Values, rung: float) -> float | None:
    """The first report at or after the rung."""
    step = min((step for step in values if step >= rung - SLACK), default=None)
    return None if step is None else values[step]


def _until(values: Values, step: float) -> list[float]:
    """What was reported until `step`, by a run that has reached it."""
    if not values or max(values) < step - SLACK:
        return []
    return [value for at, value in values.items() if at <= step + SLACK]


def _means(settings: Iterable[Sequence[Values]], figure: Callable[[Values], float | None]) -> list[float]:
    """The mean over its runs for every setting that has one."""
    means = (_mean(figure(values) for values in runs) for runs in settings)
    return [mean for mean in means if mean is not None]


def _mean(values: Iterable[float | None]) -> float | None:
    """Of those that are there."""
    there = [value for value in values if value is not None]
    return statistics.fmean(there) if there else None
