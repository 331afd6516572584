"""Any number of trackers as one, none of which can make a run fail."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from sweeps.record.recording import outcome_of
from sweeps.record.records import RunDir, RunRecord, Status
from sweeps.trackers.tracker import NullTracker
from sweeps.vision.confusion import Confusion

log = logging.getLogger(__name__)


class Several(NullTracker):
    """Passes everything on to each of its trackers. One that raises is told nothing more; the run goes on."""

    def __init__(self, trackers: Sequence[NullTracker]) -> None:
        self._trackers = list(trackers)
        self.is_open = False

    def open(self, run: RunDir, record: RunRecord, *, epochs_done: int) -> None:
        """Open each."""
        self.is_open = True
        self._each("open", lambda tracker: tracker.open(run, record, epochs_done=epochs_done))

    def network(self, network: nn.Module, images: Tensor) -> None:
        """Tell each."""
        self._each("network", lambda tracker: tracker.network(network, images))

    def epoch(self, row: Mapping[str, Any]) -> None:
        """Tell each."""
        self._each("epoch", lambda tracker: tracker.epoch(row))

    def confusion(self, confusion: Confusion) -> None:
        """Tell each."""
        self._each("confusion", lambda tracker: tracker.confusion(confusion))

    def trained(self, network: nn.Module, images: Tensor) -> None:
        """Tell each."""
        self._each("trained", lambda tracker: tracker.trained(network, images))

    def close(self, outcome: Status) -> None:
        """Close each."""
        self._each("close", lambda tracker: tracker.close(outcome))

    def _each(self, what: str, tell: Callable[[NullTracker], None]) -> None:
        for tracker in list(self._trackers):
            try:
                tell(tracker)
            except Exception as error:  # a server that is away, a full disk: a picture is no reason to lose a run
                log.warning("%s is left out from here on (%s): %s", type(tracker).__name__, what, error, exc_info=True)
                self._trackers.remove(tracker)
                if what != "close":
                    self._close(tracker)

    def _close(self, tracker: NullTracker) -> None:
        try:
            tracker.close(Status.FAILED)
        except Exception as error:
            log.warning("%s cannot be closed: %s", type(tracker).__name__, error)


@contextmanager
def followed(run: RunDir, record: RunRecord, trackers: Sequence[NullTracker]) -> Iterator[Several]:
    """Inside the block `trackers` follow a run; whatever ends it, they hear of it.

    A run that fails before it opens them is opened for it, so that a failure is seen everywhere.
    """
    tracker = Several(trackers)
    ending: BaseException | None = None
    try:
        yield tracker
    except BaseException as error:
        ending = error
        raise
    finally:
        outcome = outcome_of(ending)
        if outcome is Status.FAILED and not tracker.is_open:
            tracker.open(run, record, epochs_done=_epochs_done(run))
        tracker.close(outcome)


def _epochs_done(run: RunDir) -> int:
    try:
        return len(run.read_metrics())
    except Exception:  # damaged: the run starts again
        return 0
