"""What one key of a search may be, read from Hydra's own override grammar, as optuna's distributions.

lr='tag(log, interval(1e-3, 1))'      a number, its logarithm spread evenly; without the tag the number itself
batch_size='int(interval(32, 512))'   a whole number, both ends included
model=small,large  model='choice(small, large)'  model='glob(*)'   one of these
momentum='range(0, 1, step=0.1)'      an even grid, the end left out
"""

import math
from typing import Any

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import Trial

from sweeps.errors import ConfigError
from sweeps.record.typed import is_number
from sweeps.sweepers.expansion import MOST_VALUES, count_of, values_of

Axis = CategoricalDistribution | FloatDistribution | IntDistribution  # what one key may be

_DIGITS = 4  # of a drawn number: enough to tell trials apart, few enough for a folder's name


def choices_of(axis: Axis) -> list[str]:
    """The choices of an axis that is a list of them; none of any other."""
    return list(map(str, axis.choices)) if isinstance(axis, CategoricalDistribution) else []


def described(axis: Axis) -> str:
    """The axis for people, and for the journal, which must be opened with equal ones."""
    if isinstance(axis, CategoricalDistribution):
        return f"choice({', '.join(choices_of(axis))})"
    whole = isinstance(axis, IntDistribution)
    step = "" if axis.step is None or (whole and axis.step == 1) else f", step {axis.step:g}"
    return f"{'int' if whole else 'float'} {axis.low:g} to {axis.high:g}{step}{', log' if axis.log else ''}"


def text_of(axis: Axis, value: Any) -> str:
    """A drawn value as it is typed."""
    if isinstance(axis, CategoricalDistribution):
        return str(value)
    if isinstance(axis, IntDistribution):
        return str(int(value))
    return f"{value:.12g}" if axis.step else f"{value:.{_DIGITS}g}"


def holds(axis: Axis, value: Any) -> bool:
    """Whether `value` may be drawn from it."""
    if isinstance(axis, CategoricalDistribution):
        return value in axis.choices
    return is_number(value) and axis.low <= value <= axis.high


def count_in(axis: Axis) -> int | None:
    """How many values there are; None where they cannot be counted."""
    if isinstance(axis, CategoricalDistribution):
        return len(axis.choices)
    return None if axis.log or not axis.step else math.floor((axis.high - axis.low) / axis.step + 1e-9) + 1


def values_in(axis: Axis) -> list[str] | None:
    """All values there are; None where they cannot be counted, or are too many to list."""
    if isinstance(axis, CategoricalDistribution):
        return choices_of(axis)
    count = count_in(axis)
    if count is None or count > MOST_VALUES:
        return None
    return [text_of(axis, axis.low + place * (axis.step or 1)) for place in range(count)]


def some_value(axis: Axis) -> Any:
    """Some value of it; of numbers one from the middle, since an end such as 0 may never be drawn."""
    if isinstance(axis, CategoricalDistribution):
        return axis.choices[0]
    if axis.log:
        return math.sqrt(axis.low * axis.high)
    count = count_in(axis)
    return (axis.low + axis.high) / 2 if count is None else axis.low + (count - 1) // 2 * (axis.step or 1)


def suggested(trial: Trial, name: str, axis: Axis) -> Any:
    """A value that the sampler of the trial chooses."""
    if isinstance(axis, CategoricalDistribution):
        return trial.suggest_categorical(name, axis.choices)
    if isinstance(axis, IntDistribution):
        return trial.suggest_int(name, axis.low, axis.high, step=axis.step, log=axis.log)
    return trial.suggest_float(name, axis.low, axis.high, step=axis.step, log=axis.log)


def axis_of(override: Override) -> Axis:
    """The axis that an override asks for.

    Raises:
        ConfigError: an interval or a range is empty, reversed, infinite or, if logarithmic, not above zero.
    """
    key, value = override.get_key_element(), override.value()
    if isinstance(value, IntervalSweep):
        return _interval(key, value)
    if isinstance(value, RangeSweep) and not value.shuffle:
        return _range(key, value)
    return CategoricalDistribution(tuple(dict.fromkeys(values_of(override))))


def _interval(key: str, sweep: IntervalSweep) -> Axis:
    low, high = sweep.start, sweep.end
    assert low is not None
    assert high is not None
    shown = f"{key}=interval({low:g}, {high:g})"
    tags = sweep.tags or set()
    log = "log" in tags
    if unknown := tags - {"log", "int", "float"}:
        raise ConfigError(f"{shown} is invalid: unknown tag {', '.join(sorted(unknown))}; known are log and int")
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ConfigError(f"{shown} is invalid: its ends must be finite, such as interval(0, 1)")
    if not low < high:
        raise ConfigError(f"{shown} is {'empty' if low == high else 'reversed'}: the first number is the smaller one")
    if log and low <= 0:
        raise ConfigError(f"{shown} cannot be logarithmic: it must lie above 0, such as interval(1e-5, {high:g})")
    if "int" not in tags and not (isinstance(low, int) and isinstance(high, int)):
        return FloatDistribution(low, high, log=log)
    if max(abs(low), abs(high)) > 2**53:
        raise ConfigError(f"{shown} is invalid: whole numbers go up to 2^53; use an interval of fractions")
    return IntDistribution(int(low), int(high), log=log)


def _range(key: str, sweep: RangeSweep) -> Axis:
    start, stop, step = sweep.start, sweep.stop, sweep.step
    assert start is not None
    assert stop is not None
    count_of(key, sweep)
    if step <= 0 or not start < stop:
        raise ConfigError(f"{key}=range({start:g}, {stop:g}, step={step:g}) is empty: it goes up from the first number")
    last = start + step * (math.ceil((stop - start) / step - 1e-9) - 1)
    if all(float(value).is_integer() for value in (start, step)):
        return IntDistribution(int(start), int(last), step=int(step))
    return FloatDistribution(start, float(f"{last:.12g}"), step=step)  # rounded, so that a step is a step
