"""The search space, in Hydra's own override grammar: what is fixed, and an axis for each key that is searched.

lr='tag(log, interval(1e-3, 1))'      a number, its logarithm spread evenly; without the tag the number itself
batch_size='int(interval(32, 512))'   a whole number, both ends included
model=small,large  model='choice(small, large)'  model='glob(*)'   one of these
momentum='range(0, 1, step=0.1)'      an even grid, the end left out
hydra.sweeper.when={model: {large: {lr: 'tag(log, interval(1e-3, 0.1))'}}}   an axis for one choice alone
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from hydra.errors import OverrideParseException
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import Trial

from sweeps.errors import ConfigError
from sweeps.record.masking import shown_words
from sweeps.record.typed import is_number
from sweeps.sweepers.expansion import MOST_VALUES, check_sweepable, count_of, is_of_sweep, values_of

Axis = CategoricalDistribution | FloatDistribution | IntDistribution  # what one key may be

_DIGITS = 4  # of a drawn number: enough to tell trials apart, few enough for a folder's name
When = Mapping[str, Mapping[str, Mapping[str, Axis]]]


@dataclass(frozen=True)
class Space:
    """`fixed` overrides of every trial, and an axis for each key that is searched.

    `when[key][choice]` holds the axes of the trials in which `key` is `choice`, in place of those of equal name.
    `of_sweep` are overrides that concern the whole search: all trials have them, and they may change between commands.
    """

    fixed: tuple[str, ...]
    axes: dict[str, Axis]
    when: When = field(default_factory=dict)
    of_sweep: tuple[str, ...] = ()

    def draw(self, suggest: Callable[[str, Axis], Any]) -> list[str]:
        """Overrides with each value from `suggest(name, axis)`, where an axis under a condition has its own name."""
        names = {key: (key, axis) for key, axis in self.axes.items()}
        drawn: dict[str, str] = {}
        for key, cases in self.when.items():
            drawn[key] = text_of(self.axes[key], suggest(key, self.axes[key]))
            names |= {of: (_under(of, key, drawn[key]), axis) for of, axis in cases.get(drawn[key], {}).items()}
        drawn |= {key: text_of(axis, suggest(name, axis)) for key, (name, axis) in names.items() if key not in drawn}
        return [f"{key}={drawn[key]}" for key in names]

    def describe(self) -> dict[str, str]:
        """The space as texts by name, without secrets: what two searches of one folder must agree in."""
        axes = {name: described(axis) for name, axis in self.named.items()}
        return axes | dict(override.partition("=")[::2] for override in shown_words(self.fixed))

    @property
    def named(self) -> dict[str, Axis]:
        """Every axis by the name of what is drawn from it."""
        return self.axes | {_under(of, key, choice): axis for key, choice, of, axis in self._under_conditions()}

    def samples(self) -> list[list[str]]:
        """Overrides in which every choice occurs once: what can be checked before the first trial."""
        wanted: list[dict[str, Any]] = [{}]
        wanted += [{key: choice} for key, axis in self.axes.items() for choice in choices_of(axis)[1:]]
        for key, choice, of, axis in self._under_conditions():
            wanted += [{key: choice, _under(of, key, choice): value} for value in choices_of(axis)[1:]]

        def sample(given: Mapping[str, Any]) -> list[str]:
            return [*self.fixed, *self.draw(lambda name, axis: given.get(name, some_value(axis)))]

        return [sample(one) for one in wanted]

    def _under_conditions(self) -> list[tuple[str, str, str, Axis]]:
        return [
            (key, choice, of, axis)
            for key, cases in self.when.items()
            for choice, axes in cases.items()
            for of, axis in axes.items()
        ]

    @property
    def size(self) -> int | None:
        """How many different trials there are; None where they cannot be counted."""
        counts = [count_in(axis) for axis in self.axes.values()]
        return None if self.when or None in counts else math.prod(count for count in counts if count is not None)


def space_of(overrides: Sequence[Override], when: Any = None, mount: str = "sweep") -> Space:
    """The space that a command line asks for; of equal keys the last counts. `mount` is that of the engine's node."""
    fixed: dict[str, str] = {}
    axes: dict[str, Axis] = {}
    for override in overrides:
        key = override.get_key_element()
        fixed.pop(key, None)
        axes.pop(key, None)
        if override.is_sweep_override():
            check_sweepable(key, mount, "values to search")
            axes[key] = axis_of(override)
        else:
            fixed[key] = f"{key}={override.get_value_element_as_str()}"
    if not axes:
        raise ConfigError(
            "hydra/sweeper=search has nothing to search: give a key several values, such as "
            "lr='tag(log, interval(1e-3, 1))' or model=small,large"
        )
    of_sweep = tuple(text for key, text in fixed.items() if is_of_sweep(key, mount))
    kept = tuple(text for text in fixed.values() if text not in of_sweep)
    return Space(kept, axes, _conditions(when or {}, axes, mount), of_sweep)


def _conditions(when: Any, axes: Mapping[str, Axis], mount: str) -> When:
    found: dict[str, dict[str, dict[str, Axis]]] = {}
    if not _is_nested(when, 2):
        raise ConfigError(
            f'hydra.sweeper.when={when} is invalid: it has the form {{model: {{large: {{lr: "interval(0, 0.1)"}}}}}}'
        )
    for key, cases in when.items():
        known = choices_of(axes[key]) if key in axes else []
        if not known:
            raise ConfigError(f"hydra.sweeper.when: {key} is no list of choices in this search: {key}=one,other")
        found[key] = {}
        for choice, under in cases.items():
            if str(choice) not in known:
                raise ConfigError(
                    f"hydra.sweeper.when: {key} is never {choice} in this search; it is {', '.join(known)}"
                )
            found[key][str(choice)] = {
                str(of): _condition(str(of), text, f"{key}={choice}", mount, when) for of, text in under.items()
            }
    return found


def _condition(of: str, text: Any, condition: str, mount: str, when: Mapping[str, Any]) -> Axis:
    """The axis of the key `of` in trials of one choice."""
    check_sweepable(of, mount, "conditions (hydra.sweeper.when)")
    if of in when:
        raise ConfigError(f"hydra.sweeper.when: {of} has conditions of its own and cannot depend on {condition}")
    try:
        (override,) = OverridesParser.create().parse_overrides([f"{of}={text}"])
    except OverrideParseException as error:
        raise ConfigError(f"hydra.sweeper.when: {of}={text} ({condition}) cannot be read: {error}") from error
    if override.is_sweep_override():
        return axis_of(override)
    return CategoricalDistribution((override.get_value_element_as_str(),))


def _is_nested(value: Any, depth: int) -> bool:
    """Whether `value` is a mapping of mappings, so many levels below the first."""
    return isinstance(value, Mapping) and (not depth or all(_is_nested(of, depth - 1) for of in value.values()))


def _under(key: str, condition: str, choice: str) -> str:
    return f"{key} where {condition}={choice}"


def differences(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """What differs between two spaces, as `key: old -> new`."""
    keys = [key for key in dict.fromkeys(itertools.chain(old, new)) if old.get(key) != new.get(key)]
    return "; ".join(f"{key}: {old.get(key, 'absent')} -> {new.get(key, 'absent')}" for key in keys)


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
        return math.sqrt(axis.low) * math.sqrt(axis.high)
    count = count_in(axis)
    return axis.low / 2 + axis.high / 2 if count is None else axis.low + (count - 1) // 2 * (axis.step or 1)


def suggested(trial: Trial, name: str, axis: Axis) -> Any:
    """A value that the sampler of the trial chooses."""
    if isinstance(axis, CategoricalDistribution):
        return trial.suggest_categorical(name, axis.choices)
    if isinstance(axis, IntDistribution):
        return trial.suggest_int(name, axis.low, axis.high, step=axis.step, log=axis.log)
    return trial.suggest_float(name, axis.low, axis.high, step=axis.step, log=axis.log)


def axis_of(override: Override) -> Axis:
    """The axis that an override asks for."""
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
    if not math.isfinite(high - low):
        raise ConfigError(f"{shown} is invalid: its ends and their distance must be finite, such as interval(0, 1)")
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
