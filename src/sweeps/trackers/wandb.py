"""Runs as Weights & Biases runs: offline in the run's folder, without an account, or sent at once."""

import hashlib
from collections.abc import Mapping
from typing import Any

from sweeps.record.records import RunDir, RunRecord, Status
from sweeps.trackers.tracker import Tracker, is_installed

_EXIT_CODES = {Status.COMPLETED: 0, Status.DIVERGED: 0, Status.FAILED: 1, Status.INTERRUPTED: 130}


class WandbTracker(Tracker):
    """One W&B run for each run, grouped by sweep; its id is made of the run's, so that a resumed run continues it."""

    def __init__(self, *, mode: str = "offline", project: str = "sweeps") -> None:
        self._mode = mode
        self._project = project
        self.wandb_run: Any = None
        self._is_installed = is_installed("wandb", "wandb")

    def open(self, run: RunDir, record: RunRecord, rows: list[dict[str, Any]]) -> None:
        """Start the W&B run. What was logged before an interruption stays; `wandb sync` joins the parts by their id."""
        if not self._is_installed:
            return
        import wandb

        settings = wandb.Settings(console="off", silent=True, x_disable_stats=True, disable_git=True)
        self._record = record
        self._reports = len(rows)
        self.wandb_run = wandb.init(
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
        self.wandb_run.define_metric("*", step_metric="step")  # which may be a fraction; W&B's own may not

    def report(self, row: Mapping[str, Any]) -> None:
        """Log the row. W&B's own step is the number of the report: one that is logged again after a resume is left."""
        if self.wandb_run is not None:
            self._reports += 1
            self.wandb_run.log(dict(row), step=self._reports)

    def close(self, status: Status) -> None:
        """End the W&B run and its service process."""
        if self.wandb_run is None:
            return
        import wandb

        try:
            for name, fact in self._record.facts.items():
                self.wandb_run.summary[name] = fact
            self.wandb_run.summary["status"] = str(status)
            self.wandb_run.finish(exit_code=_EXIT_CODES.get(status, 0))
        finally:
            self.wandb_run = None
            wandb.teardown()
