"""A run of a sweep: what it restores and reports is durable. Imports torch only for a checkpoint."""

import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from sweeps import checkpoint as checkpoints
from sweeps.errors import ConfigError, ReportError
from sweeps.progress import Progress
from sweeps.pruners import Judge
from sweeps.record.processes import peak_memory
from sweeps.record.recording import (
    NOT_A_NUMBER,
    StopRun,
    add_row,
    as_fact,
    as_number,
    new_row,
    outcome_of,
    settle_objective,
    summarize,
)
from sweeps.record.records import Failure, RunDir, RunRecord
from sweeps.record.resolved import Resolved
from sweeps.run import Run, warn_once
from sweeps.trackers import Tracker, Trackers

log = logging.getLogger(__name__)

RECORD_SECONDS = 1.0  # between two updates of run.json; metrics.jsonl and the checkpoint are written at every report


class RecordedRun(Run):
    """A run of a sweep, from its training function: made by the engine, found with `sweeps.current_run()`.

    `dir` is its folder, `seed` the value of `sweep.seed_key`, `trackers` are those of `sweep.tracker`.
    """

    in_sweep = True

    def __init__(
        self,
        folder: RunDir,
        record: RunRecord,
        resolved: Resolved,
        judge: Judge | None,
        trackers: Trackers,
        progress: Progress,
        *,
        was_stopped: bool,
    ) -> None:
        self.seed = resolved.seed
        self._folder, self._record = folder, record
        self._judge, self._trackers, self._progress = judge, trackers, progress
        self._settings, self._was_stopped = resolved.settings, was_stopped
        self._owner = os.getpid(), threading.get_ident()
        self._stateful: dict[str, Any] | None = None
        self._rows: list[dict[str, Any]] = []
        self._is_open = False  # whether the rows of this attempt are on the disk, and the trackers open
        self._reports, self._is_verified = 0, False
        self._began = time.perf_counter()  # less the seconds of earlier attempts
        self._next_record = self._next_progress = 0.0
        self.stopped: StopRun | None = None
        self._may_resume = folder.checkpoint.exists()
        if not self._may_resume:  # else the display waits until it is clear where the run resumes
            progress.begin(record)

    @property
    def dir(self) -> Path:
        """The folder of the run, absolute."""
        return self._folder.path

    @property
    def trackers(self) -> list[Tracker]:
        """Those of `sweep.tracker`, open."""
        self._open()
        return list(self._trackers)

    @property
    def stop_requested(self) -> bool:
        """Whether the next `report` will stop the run, because the sweep is being stopped."""
        return self._progress.stop_requested()

    @property
    def is_through(self) -> bool:
        """Whether it has reported its last step, as far as that is known."""
        return self._record.max_steps is None or self._is_last(self._record.steps or 0)

    def restore(self, **stateful: Any) -> int | float:
        """Put the last checkpoint into objects that have `state_dict` and `load_state_dict`; returns the steps done.

        torch's, numpy's and Python's random states are restored as well, so call it after seeding. From now on each
        `report` saves the objects. 0, and nothing changed, where there is no checkpoint.

        Raises:
            ReportError: it was called before, or after `report`, or an object has no `state_dict`.
            ConfigError: the checkpoint does not fit the objects, since the code has changed; names what does not.
        """
        self._check_caller("restore")
        if self._stateful is not None:
            raise ReportError(
                "restore() was called before: give it everything at once, restore(model=..., optimizer=...)"
            )
        if self._is_open:
            raise ReportError("restore() comes after report(): call it before the first step")
        for name, one in stateful.items():
            if not callable(getattr(one, "state_dict", None)) or not callable(getattr(one, "load_state_dict", None)):
                raise ReportError(
                    f"restore({name}=...) is a {type(one).__name__}, which has no state_dict and load_state_dict; give "
                    "it an object that has both"
                )
        self._stateful = stateful
        saved = checkpoints.load(self._folder.checkpoint, self._record.run_id)
        rows = self._rows_until(saved["step"]) if saved is not None else []
        if saved is None or not rows or not self._load(saved["states"], stateful):
            self._open()
            return 0
        checkpoints.restore_random_states(saved["random"])
        self._rows = rows
        self._began -= float(rows[-1].get("elapsed") or 0.0)
        self._open()
        return cast(float, saved["step"])

    def report(self, metrics: Mapping[str, Any], step: float | None = None, *, checkpoint: bool = True) -> None:
        """Note `metrics` after `step`: one durable point, to which a run that is killed returns.

        It writes a line of metrics.jsonl, then the checkpoint of what `restore` was given; a run that is killed in
        between resumes from the checkpoint before.

        Args:
            metrics: numbers by name; NaN or infinity for the objective ends the run as diverged.
            step: a number that increases from report to report; one more than before where it is None.
            checkpoint: False for a report within a step, from which nothing could be resumed.

        Raises:
            StopRun: the run is to end here, pruned or because the sweep is being stopped; let it pass.
            ReportError: a metric is no number, or the step does not increase.
        """
        if not self.is_own_process:
            return
        self._check_caller("report")
        if self.stopped is not None:
            log.warning("the training function has caught sweeps.StopRun and trained on; let it pass (`raise`)")
            raise self.stopped
        elapsed = time.perf_counter() - self._began
        row = new_row(metrics, step, self._rows[-1]["step"] if self._rows else None, elapsed)
        self._open()
        self._folder.append_metrics(row)
        self._rows.append(row)
        self._reports += 1
        add_row(self._record, row)
        self._trackers.report(row)
        failure = self._failure_of(row, metrics)
        if self._stateful and checkpoint and self._is_kept(row["step"], failure):
            verify, self._is_verified = not self._is_verified, True
            checkpoints.save(self._folder.checkpoint, self._record.run_id, row["step"], self._stateful, verify=verify)
        self._write_record()
        self._progress.report(row)
        self._stop(failure)

    def record(self, **facts: Any) -> None:
        """Keep facts of the run, numbers and texts: each becomes a column of the tables.

        Raises:
            ReportError: a fact is neither a number nor a text.
        """
        if not self.is_own_process:
            return
        for name, value in facts.items():
            plain = as_fact(value)
            if plain is NOT_A_NUMBER:
                raise ReportError(f"record({name}={value!r:.60}) is invalid: a fact is a number or a text")
            self._record.facts[name] = plain
        self._folder.write(self._record, durable=False)

    def progress(self, step: float, text: str = "") -> None:
        """Show on the terminal that the run is at `step`, which may lie between two reports; at most once a second."""
        now = time.monotonic()
        if now >= self._next_progress:
            self._next_progress = now + 1.0
            self._progress.update(step, text)

    def finish(self, returned: Any) -> None:
        """The training function has returned: settle the objective, see `settle_objective`."""
        self._open()
        reported = sorted({key for row in self._rows for key in row})
        if self._judge is not None and (missing := self._judge.missing(reported)):
            log.warning("%s", missing)
        if not self._rows:
            self._record.seconds = time.perf_counter() - self._began
        settle_objective(self._record, self._rows, returned)

    @contextmanager
    def tracked(self) -> Iterator[None]:
        """Inside the block the trackers follow the run; whatever ends it, they are closed with its outcome."""
        try:
            yield
        except BaseException as error:
            self._trackers.close(outcome_of(error))
            raise
        self._trackers.close(outcome_of(None))

    def _open(self) -> None:
        """Before the first report: what an earlier attempt left beyond the checkpoint goes."""
        if self._is_open:
            return
        self._is_open = True
        self._folder.write_metrics(self._rows)
        summarize(self._record, self._rows)
        self._write_record(force=True)
        if self._may_resume:
            self._progress.begin(self._record)
        self._trackers.open(self._folder, self._record, self._rows)
        if self._judge is not None:  # it may have judged the run meanwhile
            done = self._rows[-1]["step"] if self._rows else 0.0
            self._stop(self._judge.resume(done, was_stopped=self._was_stopped))

    def _stop(self, failure: Failure | None) -> None:
        """End the run here, if there is a reason."""
        if failure is not None:
            self.stopped = StopRun(failure)
            raise self.stopped

    def _failure_of(self, row: Mapping[str, Any], metrics: Mapping[str, Any]) -> Failure | None:
        """Why the run should stop after this report."""
        name = self._record.objective.metric
        if name in row and row[name] is None:
            return Failure("diverged", f"{name} became {as_number(metrics[name])} at step {row['step']:g}")
        failure = self._judge.report(row) if self._judge is not None else None
        if failure is None and not self._is_last(row["step"]) and self._progress.stop_requested():
            failure = Failure("interrupted", "the sweep was stopped")
        return failure

    def _is_kept(self, step: float, failure: Failure | None) -> bool:
        """Whether a checkpoint is due: not after the last step, whose results the application keeps as it likes."""
        if failure is None:
            every = self._settings["checkpoint_every"]
            return every > 0 and self._reports % every == 0 and not self._is_last(step)
        keeps_pruned = (self._settings["pruner"] or {}).get("keep_checkpoint", True)
        return failure.kind != "diverged" and (failure.kind != "pruned" or keeps_pruned)

    def _is_last(self, step: float) -> bool:
        return self._record.max_steps is not None and step >= self._record.max_steps

    def _rows_until(self, step: float) -> list[dict[str, Any]]:
        """The rows of an earlier attempt up to its checkpoint; none where its line is missing or damaged."""
        rows = self._folder.metrics_until(step)
        is_whole = bool(rows) and rows[-1]["step"] == step
        if rows.note:
            log.warning("%s; %s", rows.note, "the run resumes without it" if is_whole else "the run starts again")
        return rows if is_whole else []

    def _load(self, states: Mapping[str, Any], stateful: Mapping[str, Any]) -> bool:
        """Put `states` into the objects; False where the run is to start again."""
        problem = checkpoints.put_back(states, stateful)
        if not problem:
            return True
        if self._settings["on_mismatch"] == "rerun":
            log.warning("%s does not fit (%s); the run starts again", self._folder.checkpoint, problem)
            return False
        raise ConfigError(
            f"{self._folder.checkpoint} does not fit the code, which has changed since: {problem}. Go back to that "
            "code, or start the run again with sweep.on_mismatch=rerun"
        )

    def _write_record(self, *, force: bool = False) -> None:
        now = time.monotonic()
        if force or now >= self._next_record:
            self._next_record = now + RECORD_SECONDS
            self._record.peak_memory = peak_memory()
            self._folder.write(self._record, durable=False)

    @property
    def is_own_process(self) -> bool:
        """Whether this is the process of the run, and not one that it has started."""
        if os.getpid() != self._owner[0]:
            warn_once(f"process {os.getpid()} is not that of the run {self._record.name}; what it reports is ignored")
        return os.getpid() == self._owner[0]

    def _check_caller(self, what: str) -> None:
        if threading.get_ident() != self._owner[1]:
            raise ReportError(f"{what}() was called in another thread than that of the training function")
