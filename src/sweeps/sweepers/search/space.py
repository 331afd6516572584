"""The search space: what is fixed, an axis for each key that is searched, and axes for some choices alone.

hydra.sweeper.when={model: {large: {lr: 'tag(log, interval(1e-3, 0.1))'}}}   an axis for one choice alone
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import OverrideParseException
from optuna.distributions import CategoricalDistribution

from sweeps.errors import ConfigError
from sweeps.record.masking import shown_words
from sweeps.sweepers.expansion import check_sweepable, is_of_sweep
from sweeps.sweepers.search.axes import Axis, axis_of, choices_of, count_in, described, some_value, text_of

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
        return [self._sample(one) for one in wanted]

    def _sample(self, wanted: Mapping[str, Any]) -> list[str]:
        return [*self.fixed, *self.draw(lambda name, axis: wanted.get(name, some_value(axis)))]

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
    """The space that a command line asks for; of equal keys the last counts. `mount` is that of the engine's node.

    Raises:
        ConfigError: an interval is empty, reversed or, if logarithmic, not above zero; a condition names what is no
            choice of the search; a setting of the sweep is searched; or nothing is.
    """
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
