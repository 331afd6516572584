"""The interface of pruners. Never imports torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
