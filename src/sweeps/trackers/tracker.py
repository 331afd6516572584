"""What a tracker is, and the trackers of a run, none of which can make it fail. Never imports torch."""

import functools
import importlib.util
import logging
import math
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from sweeps.errors import ConfigError
from sweeps.record.records import RunDir, RunRecord, Status
from sweeps.targets import check_targets, make, target_of

log = logging.getLogger(__name__)


class Tracker:
    """Receives the rows of metrics of a run and keeps none; trackers override what they need.

    Whatever a tracker raises is logged, and the run continues without that tracker.
    """

    def open(self, run: RunDir, record: RunRecord, rows: list[dict[str, Any]]) -> None:
        """A run starts, or resumes after `rows`: later points of an earlier attempt must go.

        `record` is the run's own, kept up to date: `record.facts` grow while the run is under way.
        """

    def report(self, row: Mapping[str, Any]) -> None:
        """One line of metrics.jsonl: `step`, `elapsed` (seconds) and the metrics."""

    def close(self, status: Status) -> None:
        """The run is over."""


class Trackers(Tracker):
    """Passes everything on to each of its trackers. One that raises is closed and left out; the run continues.

    Iterating gives the trackers that still work.
    """

    def __init__(self, trackers: list[Tracker], run: RunDir, record: RunRecord) -> None:
        self._trackers = list(trackers)
        self._of = (run, record)
        self._is_open = False

    def __iter__(self) -> Iterator[Tracker]:
        return iter(list(self._trackers))

    def __len__(self) -> int:
        return len(self._trackers)

    def open(self, run: RunDir, record: RunRecord, rows: list[dict[str, Any]]) -> None:
        """Open each."""
        self._of, self._is_open = (run, record), True
        self._each("open", run, record, rows)

    def report(self, row: Mapping[str, Any]) -> None:
        """Pass a row on to each."""
        self._each("report", row)

    def close(self, status: Status) -> None:
        """Close each. Where a run failed before it opened them, they are opened first, so that all show the failure."""
        if status is Status.FAILED and not self._is_open:
            self.open(*self._of, self._of[0].metrics_until(math.inf))
        self._is_open = False
        self._each("close", status)

    def _each(self, what: str, *arguments: Any) -> None:
        for tracker in self:
            try:
                getattr(tracker, what)(*arguments)
            except Exception as error:  # a server that is away, a full disk: a curve is no reason to lose a run
                log.warning("%s is left out from here on (%s): %s", type(tracker).__name__, what, error, exc_info=True)
                self._trackers.remove(tracker)
                try:
                    if what != "close":
                        tracker.close(Status.FAILED)
                except Exception as another:
                    log.warning("%s cannot be closed: %s", type(tracker).__name__, another)


def make_trackers(node: Any) -> list[Tracker]:
    """The trackers of `sweep.tracker`, plain data: one node with a `_target_`, several by name, or none.

    Raises:
        ConfigError: one of them cannot be made.
    """
    return [make(one, "tracker") for one in _nodes(node)]


def check_trackers(node: Any) -> None:
    """See that `sweep.tracker` names trackers; imports none of them.

    Raises:
        ConfigError: it does not.
    """
    for one in _nodes(node):
        target_of(one)
        check_targets(one, "tracker")


def _nodes(node: Any) -> list[Any]:
    if not node:
        return []
    nodes = [node] if not isinstance(node, Mapping) or "_target_" in node else [one for one in node.values() if one]
    if not all(isinstance(one, Mapping) for one in nodes):
        raise ConfigError(f"sweep.tracker={str(node)[:60]} is invalid: choose one by name, such as sweep/tracker=csv")
    return nodes


def is_installed(name: str, *modules: str) -> bool:
    """Whether the tracker `name` can work: all of `modules` are installed. If not, a warning says how to get them."""
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        _warn(name, ", ".join(missing))
    return not missing


@functools.cache
def _warn(name: str, missing: str) -> None:
    text = f"sweep/tracker={name} records nothing: {missing} is not installed; pip install 'hydra-sweeps[{name}]'"
    log.warning(text)
    print(f"warning: {text}", file=sys.stderr)  # the log goes to the run's own file
