"""Runs in an MLflow store: a sweep is a parent run, its runs are nested in it."""

import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sweeps.errors import ConfigError
from sweeps.record.files import links_in, make_folder, open_to_append
from sweeps.record.records import RunDir, RunRecord, Status
from sweeps.trackers.columns import columns_of, numbers_of
from sweeps.trackers.tracker import Tracker, is_installed

FOLDER = "mlflow"  # below the sweep's, unless the config names another store
SWEEP_TAG, RUN_TAG = "sweeps.sweep", "sweeps.folder"
BATCH = 1000  # metrics in one request, at most: MLflow's own limit
_STATES = {Status.COMPLETED: "FINISHED", Status.DIVERGED: "FINISHED", Status.FAILED: "FAILED"}


class MlflowTracker(Tracker):
    """Overrides and facts as parameters, metrics over the whole steps (see `columns.numbers_of`), and the config."""

    def __init__(self, *, uri: str | None = None, experiment: str = "sweeps") -> None:
        self.uri = uri
        self._experiment = experiment
        self.client: Any = None
        self._is_installed = is_installed("mlflow", "mlflow", "sqlalchemy", "alembic")

    def open(self, run: RunDir, record: RunRecord, rows: list[dict[str, Any]]) -> None:
        """Begin the run; an earlier attempt of it is deleted, and `rows` are written again."""
        if not self._is_installed:
            return
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        # A server that is away must not hold a run up: left alone, the client tries for four minutes.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
        from mlflow import MlflowClient

        self._run, self._record = run, record
        self._params: set[str] = set()
        self._waiting: list[Any] = []
        self._began = time.time() - ((rows[-1].get("elapsed") or 0) if rows else 0)
        self._flushed = time.monotonic()
        self._place = run.path.absolute().parent / FOLDER
        self._is_ours = not self.uri  # in the sweep's folder, which may be somebody else's
        self.uri = self.uri or f"sqlite:///{self._place / 'mlflow.db'}"
        if "://" not in self.uri:
            self._place = Path(self.uri).absolute()
            self.uri = f"sqlite:///{self._place / 'mlflow.db'}"
        with self.alone():
            client = MlflowClient(tracking_uri=self.uri)
            experiment = self._experiment_id(client)
            parent = self._parent(client, experiment, record.sweep)
            folder = str(run.path.absolute())
            for old in self._found(client, experiment, RUN_TAG, folder):
                client.delete_run(old)
            tags = {RUN_TAG: folder, "mlflow.parentRunId": parent, "sweeps.run_id": record.run_id}
            self.mlflow_id = client.create_run(experiment, run_name=record.name, tags=tags).info.run_id
            client.log_dict(self.mlflow_id, record.config, "config.json")
            self.client = client
            self._log_params()
        for row in rows:
            self._add(row)
        self._flush()

    def report(self, row: Mapping[str, Any]) -> None:
        """Add one point to the curve of each metric; the store is written to once a second at most."""
        if self.client is None:
            return
        self._add(row)
        if time.monotonic() - self._flushed > 1:
            self._flush()

    def close(self, status: Status) -> None:
        """End the run."""
        if self.client is None:
            return
        self._flush()
        with self.alone():
            self._log_params()
            if self._run.metrics.is_file():
                self.client.log_artifact(self.mlflow_id, str(self._run.metrics))
            self.client.set_tag(self.mlflow_id, "sweeps.status", str(status))
            self.client.set_terminated(self.mlflow_id, status=_STATES.get(status, "KILLED"))

    def _log_params(self) -> None:
        """Parameters cannot be changed in MLflow, but may be added: facts are recorded during the run."""
        for key, value in columns_of(self._record).items():
            if key not in self._params:
                self._params.add(key)
                self.client.log_param(self.mlflow_id, _name(key), value)

    def _add(self, row: Mapping[str, Any]) -> None:
        from mlflow.entities import Metric

        elapsed = row.get("elapsed")
        now = int(1000 * (time.time() if elapsed is None else self._began + elapsed))
        self._waiting += [Metric(_name(name), value, now, step) for name, value, step in numbers_of(row)]

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._flushed = time.monotonic()
        with self.alone():
            for start in range(0, len(waiting), BATCH):
                self.client.log_batch(self.mlflow_id, metrics=waiting[start : start + BATCH])

    def _experiment_id(self, client: Any) -> str:
        is_local = str(self.uri).startswith("sqlite:")
        location = (self._place / "artifacts").as_uri() if is_local else None
        found = client.get_experiment_by_name(self._experiment)
        if found is not None:
            if self._is_ours and found.artifact_location != location:
                raise ConfigError(
                    f"{self.uri} keeps artifacts in {found.artifact_location} instead of {location}; move it away"
                )
            return str(found.experiment_id)
        return str(client.create_experiment(self._experiment, artifact_location=location))

    def _parent(self, client: Any, experiment: str, sweep: str) -> str:
        found = self._found(client, experiment, SWEEP_TAG, sweep)
        if found:
            return found[0]
        parent = client.create_run(experiment, run_name=sweep, tags={SWEEP_TAG: sweep}).info.run_id
        client.set_terminated(parent)  # nobody knows which run is the last
        return str(parent)

    def _found(self, client: Any, experiment: str, tag: str, value: str) -> Sequence[str]:
        quoted = value.replace("'", "\\'")
        runs = client.search_runs([experiment], filter_string=f"tags.`{tag}` = '{quoted}'")
        return [str(run.info.run_id) for run in runs if run.data.tags.get(tag) == value]

    @contextmanager
    def alone(self) -> Iterator[None]:
        """SQLite takes one writer at a time, and a store must not be made by two: the runs of a sweep take turns."""
        if not str(self.uri).startswith("sqlite:") or os.name == "nt":
            yield
            return
        import fcntl

        make_folder(self._place)
        for link in links_in(self._place) if self._is_ours else ():
            raise ConfigError(f"{link} is a link, which is not written through; remove it")
        with open_to_append(self._place / ".lock") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _name(text: str) -> str:
    """A name that MLflow accepts."""
    return re.sub(r"[^\w\-. :/]", "_", text)[:250]
