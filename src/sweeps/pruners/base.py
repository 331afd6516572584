"""The interface of pruners. Never imports torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Values = Mapping[float, float]  # steps -> value, turned so that more is better


@dataclass(frozen=True)
class Comparison:
    """What is known of a run, and of those it competes with, when it is judged.

    `own` are its reports up to now, `siblings` those of the other seeds of its setting, `rivals` those of the runs of
    every other setting, by setting_id. `max_steps` is how many steps a whole run has, None where nobody said.
    """

    own: Values
    siblings: Sequence[Values]
    rivals: Mapping[str, Sequence[Values]]
    setting: str
    max_steps: float | None = None


class Pruner:
    """Decides which runs are not worth their remaining steps. The base class stops none.

    A subclass is pure: it decides from the comparison alone, and so repeats its decision whenever it is asked again.
    """

    def prune(self, comparison: Comparison) -> str | None:
        """The reason to stop the run after its last report, or None to continue."""
        return None

    def rounds(self, max_steps: float | None) -> list[float]:
        """Steps at which all runs wait for each other before they are judged; none for pruners that compare at once."""
        return []
