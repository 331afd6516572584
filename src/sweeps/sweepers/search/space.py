"""The search space, read from Hydra's own override grammar. Never imports torch or optuna.

optim.lr='tag(log, interval(1e-3, 1))'   a number, its logarithm spread evenly; without the tag the number itself
trainer.batch_size='int(interval(32, 512))'   a whole number, both ends included
model=alexnet,nin  model='choice(alexnet, nin)'  model='glob(*)'   one of these
optim.momentum='range(0, 1, step=0.1)'   an even grid, the end left out

hydra.sweeper.when={model: {nin: {optim.lr: 'tag(log, interval(1e-3, 0.1))'}}}   an axis for one choice alone
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from hydra.errors import OverrideParseException

from sweeps.errors import ConfigError
from sweeps.record.masking import shown_words
from sweeps.record.typed import is_number
from sweeps.sweepers.expansion import MOST_VALUES, count_of, values_of

OURS = ("sweep", "output", "plan", "repeats", "zip", "exclude")  # no settings of a run
_DIGITS = 4  # of a drawn number: enough to tell trials apart, few enough for a folder's name


@dataclass(frozen=True)
class Axis:
    """What one key may be: `choice` of texts, or a `float` or `int` from `low` to `high`, both included."""

    kind: str
    choices: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    step: float | None = None
    log: bool = False

    def __str__(self) -> str:
        if self.kind == "choice":
            return f"choice({', '.join(self.choices)})"
        between = f"{self.kind} {self.low:g} to {self.high:g}"
        return between + (f", step {self.step:g}" if self.step else "") + (", log" if self.log else "")

    def text(self, value: Any) -> str:
        """A drawn value as it is typed."""
        if self.kind == "choice":
            return str(value)
        if self.kind == "int":
            return str(int(value))
        return f"{value:.12g}" if self.step else f"{value:.{_DIGITS}g}"

    def holds(self, value: Any) -> bool:
        """Whether `value` may be drawn from it."""
        if self.kind == "choice":
            return value in self.choices
        return is_number(value) and self.low <= value <= self.high

    @property
    def count(self) -> int | None:
        """How many values there are; None where they cannot be counted."""
        if self.kind == "choice":
            return len(self.choices)
        step = self._step
        return None if step is None else math.floor((self.high - self.low) / step + 1e-9) + 1

    @property
    def values(self) -> list[str] | None:
        """All values there are; None where they cannot be counted, or are too many to list."""
        if self.kind == "choice":
            return list(self.choices)
        step, count = self._step, self.count
        if step is None or count is None or count > MOST_VALUES:
            return None
        return [self.text(self.low + place * step) for place in range(count)]

    @property
    def _step(self) -> float | None:
        return None if self.log else self.step or (1.0 if self.kind == "int" else None)

    @property
    def first(self) -> Any:
        """Some value of it; of numbers one from the middle, since an end such as 0 may never be drawn."""
        if self.kind == "choice":
            return self.choices[0]
        return math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2


When = Mapping[str, Mapping[str, Mapping[str, Axis]]]


@dataclass(frozen=True)
class Space:
    """`fixed` overrides of every trial, and an axis for each key that is searched.

    `when[key][choice]` holds the axes of the trials in which `key` is `choice`, in place of those of equal name.
    """

    fixed: tuple[str, ...]
    axes: dict[str, Axis]
    when: When = field(default_factory=dict)

    def draw(self, suggest: Callable[[str, Axis], Any]) -> list[str]:
        """Overrides with each value from `suggest(name, axis)`, where an axis under a condition has its own name."""
        names = {key: (key, axis) for key, axis in self.axes.items()}
        drawn: dict[str, str] = {}
        for key, cases in self.when.items():
            drawn[key] = self.axes[key].text(suggest(key, self.axes[key]))
            names |= {of: (_under(of, key, drawn[key]), axis) for of, axis in cases.get(drawn[key], {}).items()}
        drawn |= {key: axis.text(suggest(name, axis)) for key, (name, axis) in names.items() if key not in drawn}
        return [f"{key}={drawn[key]}" for key in names]

    def describe(self) -> dict[str, str]:
        """The space as texts by name, without secrets: what two searches of one folder must agree in."""
        described = {key: str(axis) for key, axis in self.axes.items()}
        for key, choice, of, axis in self._under_conditions():
            described[_under(of, key, choice)] = str(axis)
        return described | dict(override.partition("=")[::2] for override in shown_words(self.fixed))

    @property
    def named(self) -> dict[str, Axis]:
        """Every axis by the name of what is drawn from it."""
        return self.axes | {_under(of, key, choice): axis for key, choice, of, axis in self._under_conditions()}

    def samples(self) -> list[list[str]]:
        """Overrides in which every choice occurs once: what can be checked before the first trial."""
        wanted: list[dict[str, str]] = [{}]
        wanted += [{key: choice} for key, axis in self.axes.items() for choice in axis.choices[1:]]
        for key, choice, of, axis in self._under_conditions():
            wanted += [{key: choice, _under(of, key, choice): value} for value in axis.choices[1:]]
        return [self._sample(one) for one in wanted]

    def _sample(self, wanted: Mapping[str, str]) -> list[str]:
        return [*self.fixed, *self.draw(lambda name, axis: wanted.get(name, axis.first))]

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
        if self.when:
            return None
        counts = [axis.count for axis in self.axes.values()]
        return None if None in counts else math.prod(count for count in counts if count is not None)


def space_of(overrides: Sequence[Override], when: Mapping[str, Any] | None = None) -> Space:
    """The space that a command line asks for, with axes of single choices; of equal keys the last counts.

    Raises:
        ConfigError: an interval is empty, reversed or, if logarithmic, not above zero; a condition names what is no
            choice of the search; or nothing is searched.
    """
    fixed: dict[str, str] = {}
    axes: dict[str, Axis] = {}
    for override in overrides:
        key = override.get_key_element()
        fixed.pop(key, None)
        axes.pop(key, None)
        if override.is_sweep_override():
            axes[key] = _axis(key, override)
        else:
            fixed[key] = f"{key}={override.get_value_element_as_str()}"
    if not axes:
        raise ConfigError(
            "hydra/sweeper=search has nothing to search: give a key several values, such as "
            "optim.lr='tag(log, interval(1e-3, 1))' or model=alexnet,nin"
        )
    return Space(tuple(fixed.values()), axes, _conditions(when or {}, axes))


def _conditions(when: Mapping[str, Any], axes: Mapping[str, Axis]) -> When:
    found: dict[str, dict[str, dict[str, Axis]]] = {}
    if not _is_nested(when, 2):
        raise ConfigError(
            f"hydra.sweeper.when={when} is refused: it has the form "
            '{optim: {sgd: {optim.momentum: "interval(0, 0.99)"}}}'
        )
    for key, cases in when.items():
        known = axes[key].choices if key in axes else ()
        if not known:
            raise ConfigError(f"hydra.sweeper.when: {key} is no list of choices in this search: {key}=one,other")
        found[key] = {}
        for choice, under in cases.items():
            if str(choice) not in known:
                raise ConfigError(
                    f"hydra.sweeper.when: {key} is never {choice} in this search; it is {', '.join(known)}"
                )
            found[key][str(choice)] = {}
            for of, text in under.items():
                if of in OURS or of.partition(".")[0] == "hydra":
                    raise ConfigError(f"hydra.sweeper.when: {of} says how the search is done, and cannot be searched")
                if of in when:
                    raise ConfigError(f"hydra.sweeper.when: {of} decides over others and cannot depend on {key} itself")
                try:
                    (override,) = OverridesParser.create().parse_overrides([f"{of}={text}"])
                except OverrideParseException as error:
                    raise ConfigError(
                        f"hydra.sweeper.when: {of}={text} ({key}={choice}) cannot be read: {error}"
                    ) from error
                swept = override.is_sweep_override()
                found[key][str(choice)][of] = (
                    _axis(of, override) if swept else Axis("choice", (override.get_value_element_as_str(),))
                )
    return found


def _is_nested(value: Any, depth: int) -> bool:
    """Whether `value` is a mapping of mappings, so many levels below the first."""
    return isinstance(value, Mapping) and (not depth or all(_is_nested(of, depth - 1) for of in value.values()))


def _under(key: str, condition: str, choice: str) -> str:
    return f"{key} where {condition}={choice}"


def differences(old: dict[str, str], new: dict[str, str]) -> str:
    """What differs between two spaces, as `key: old -> new`."""
    keys = [key for key in dict.fromkeys(itertools.chain(old, new)) if old.get(key) != new.get(key)]
    return "; ".join(f"{key}: {old.get(key, 'not there')} -> {new.get(key, 'not there')}" for key in keys)


def _axis(key: str, override: Override) -> Axis:
    value = override.value()
    if isinstance(value, IntervalSweep):
        return _interval(key, value)
    if isinstance(value, RangeSweep) and not value.shuffle:
        return _range(key, value)
    return Axis("choice", choices=tuple(dict.fromkeys(values_of(override))))


def _interval(key: str, sweep: IntervalSweep) -> Axis:
    low, high = sweep.start, sweep.end
    assert low is not None
    assert high is not None
    shown = f"{key}=interval({low:g}, {high:g})"
    log = "log" in (sweep.tags or set())
    unknown = set(sweep.tags or set()) - {"log", "int", "float"}
    if unknown:
        raise ConfigError(f"{shown}: the tag {', '.join(sorted(unknown))} has no meaning here; known are log and int")
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ConfigError(f"{shown} is invalid: its ends must be finite, such as interval(0, 1)")
    if not low < high:
        raise ConfigError(f"{shown} is {'empty' if low == high else 'reversed'}: the first number is the smaller one")
    if log and low <= 0:
        raise ConfigError(f"{shown} cannot be logarithmic: it must lie above 0, such as interval(1e-5, {high:g})")
    whole = "int" in (sweep.tags or set()) or (isinstance(low, int) and isinstance(high, int))
    if whole and max(abs(low), abs(high)) > 2**53:
        raise ConfigError(f"{shown} is invalid: whole numbers go up to 2^53; use an interval of fractions")
    return Axis("int" if whole else "float", low=low, high=high, log=log)


def _range(key: str, sweep: RangeSweep) -> Axis:
    start, stop, step = sweep.start, sweep.stop, sweep.step
    assert start is not None
    assert stop is not None
    count_of(key, sweep)
    if step <= 0 or not start < stop:
        raise ConfigError(f"{key}=range({start:g}, {stop:g}, step={step:g}) is empty: it goes up from the first number")
    last = start + step * (math.ceil((stop - start) / step - 1e-9) - 1)
    whole = all(float(value).is_integer() for value in (start, step))
    return Axis("int" if whole else "float", low=start, high=last, step=step)
