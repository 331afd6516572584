"""What a tracker hears of a run. The base class is the null tracker."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from sweeps.record.records import RunDir, RunRecord, Status
from sweeps.vision.confusion import Confusion


class NullTracker:
    """Hears of a run and keeps nothing; trackers override what they need."""

    def open(self, run: RunDir, record: RunRecord, *, epochs_done: int) -> None:
        """A run starts, or goes on after `epochs_done` epochs: later points of an earlier try must go."""

    def network(self, network: nn.Module, images: Tensor) -> None:
        """The network, and the first training images as it sees them: [B, C, H, W] in [0, 1]."""

    def epoch(self, row: Mapping[str, Any]) -> None:
        """One line of metrics.jsonl."""

    def confusion(self, confusion: Confusion) -> None:
        """The test images after the last epoch."""

    def trained(self, network: nn.Module, images: Tensor) -> None:
        """The network after its last epoch, in evaluation mode, and images as for `network`."""

    def close(self, outcome: Status) -> None:
        """The run is over: completed, diverged, failed or interrupted."""
