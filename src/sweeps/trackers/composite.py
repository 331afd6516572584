"""The trackers of a run, none of which can make it fail. Never imports torch."""

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sweeps.errors import ConfigError
from sweeps.record.records import RunDir, RunRecord, Status
from sweeps.targets import make
from sweeps.trackers.tracker import Tracker

log = logging.getLogger(__name__)


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
        self._each("open", lambda tracker: tracker.open(run, record, rows))

    def report(self, row: Mapping[str, Any]) -> None:
        """Pass a row on to each."""
        self._each("report", lambda tracker: tracker.report(row))

    def close(self, status: Status) -> None:
        """Close each. Where a run failed before it opened them, they are opened first, so that all show the failure."""
        if status is Status.FAILED and not self._is_open:
            self.open(*self._of, _rows_of(self._of[0]))
        self._is_open = False
        self._each("close", lambda tracker: tracker.close(status))

    def _each(self, what: str, call: Callable[[Tracker], None]) -> None:
        for tracker in self:
            try:
                call(tracker)
            except Exception as error:  # a server that is away, a full disk: a curve is no reason to lose a run
                log.warning("%s is left out from here on (%s): %s", type(tracker).__name__, what, error, exc_info=True)
                self._trackers.remove(tracker)
                if what != "close":
                    self._close(tracker)

    def _close(self, tracker: Tracker) -> None:
        try:
            tracker.close(Status.FAILED)
        except Exception as error:
            log.warning("%s cannot be closed: %s", type(tracker).__name__, error)


def make_trackers(node: Any) -> list[Tracker]:
    """The trackers of `sweep.tracker`, plain data: one node with a `_target_`, several by name, or none.

    Raises:
        ConfigError: one of them cannot be made.
    """
    if not node:
        return []
    if not isinstance(node, Mapping):
        raise ConfigError(f"sweep.tracker={str(node)[:60]} is invalid: choose one by name, such as sweep/tracker=csv")
    nodes = [node] if "_target_" in node else node.values()
    return [make(one, "tracker") for one in nodes if one]


def _rows_of(run: RunDir) -> list[dict[str, Any]]:
    try:
        return run.read_metrics()
    except Exception:  # damaged: the run starts again
        return []
