"""Runs as Weights & Biases runs: offline in the run's folder, without an account, or sent at once."""

import hashlib
from collections.abc import Mapping
from typing import Any

from sweeps.record.records import RunDir, RunRecord, Status
from sweeps.trackers.absent import is_installed
from sweeps.trackers.tracker import NullTracker
from sweeps.vision.confusion import Confusion

_EXIT_CODES = {Status.COMPLETED: 0, Status.DIVERGED: 0, Status.FAILED: 1, Status.INTERRUPTED: 130}


class WandbTracker(NullTracker):
    """One W&B run for each run, grouped by sweep; its id is made of the folder, so that a resumed run goes on in it."""

    def __init__(self, *, mode: str = "offline", project: str = "sweeps") -> None:
        self._mode = mode
        self._project = project
        self._run: Any = None
        self._is_installed = is_installed("wandb", "wandb")

    def open(self, run: RunDir, record: RunRecord, *, epochs_done: int) -> None:
        """Start the W&B run. What was logged before an interruption stays; `wandb sync` joins the parts by their id."""
        if not self._is_installed:
            return
        import wandb

        settings = wandb.Settings(console="off", silent=True, x_disable_stats=True, disable_git=True)
        self._run = wandb.init(
            project=self._project,
            group=record.sweep.replace("/", "-"),
            name=record.name,
            id=hashlib.sha256(f"{record.run_id} {record.sweep}".encode()).hexdigest()[:16],
            dir=str(run.path),
            config=record.config,
            mode="online" if self._mode == "online" else "offline",
            resume="allow" if self._mode == "online" else None,
            reinit="create_new",
            settings=settings,
        )

    def epoch(self, row: Mapping[str, Any]) -> None:
        """Log the row; the step is the epoch."""
        if self._run is not None:
            self._run.log(dict(row), step=row["epoch"])

    def confusion(self, confusion: Confusion) -> None:
        """Keep the counts as a table in the summary."""
        if self._run is not None:
            self._run.summary["confusion"] = {"labels": confusion.labels, "counts": confusion.counts}

    def close(self, outcome: Status) -> None:
        """End the W&B run and its service process."""
        if self._run is None:
            return
        import wandb

        try:
            self._run.summary["status"] = str(outcome)
            self._run.finish(exit_code=_EXIT_CODES.get(outcome, 0))
        finally:
            self._run = None
            wandb.teardown()
