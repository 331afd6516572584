"""Runs in an MLflow store: a sweep is a parent run, its cells are nested in it."""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from sweeps.errors import ConfigError
from sweeps.record.files import links_in, make_folder, open_to_append
from sweeps.record.records import RunDir, RunRecord, Status
from sweeps.trackers.absent import is_installed
from sweeps.trackers.settings import columns_of
from sweeps.trackers.tracker import NullTracker
from sweeps.vision.confusion import Confusion

FOLDER = "mlflow"  # below the sweep's, unless the config names another store
SWEEP_TAG, CELL_TAG = "sweeps.sweep", "sweeps.folder"
_STATES = {Status.COMPLETED: "FINISHED", Status.DIVERGED: "FINISHED", Status.FAILED: "FAILED"}


class MlflowTracker(NullTracker):
    """Settings as parameters, the curves as metrics, the confusion, and the model with its signature."""

    def __init__(self, *, uri: str | None = None, experiment: str = "sweeps", model: bool = True) -> None:
        self._uri = uri
        self._experiment = experiment
        self._keeps_model = model
        self._client: Any = None
        self._is_installed = is_installed("mlflow", "mlflow", "sqlalchemy", "alembic")

    def open(self, run: RunDir, record: RunRecord, *, epochs_done: int) -> None:
        """Begin the run; an earlier try of it is deleted, and what it had done is written again."""
        if not self._is_installed:
            return
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        # A server that is away must not hold a run up: left alone, the client tries for four minutes.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
        from mlflow import MlflowClient

        self._run = run
        self._place = run.path.absolute().parent / FOLDER
        self._is_ours = not self._uri  # in the sweep's folder, which may be somebody else's
        self._uri = self._uri or f"sqlite:///{self._place / 'mlflow.db'}"
        if "://" not in self._uri:
            self._place = Path(self._uri).absolute()
            self._uri = f"sqlite:///{self._place / 'mlflow.db'}"
        with self._alone():
            self._client = MlflowClient(tracking_uri=self._uri)
            experiment = self._experiment_id()
            parent = self._parent(experiment, record.sweep)
            cell = str(run.path.absolute())
            for old in self._found(experiment, CELL_TAG, cell):
                self._client.delete_run(old)
            tags = {CELL_TAG: cell, "mlflow.parentRunId": parent, "sweeps.run_id": record.run_id}
            self._id = self._client.create_run(experiment, run_name=record.name, tags=tags).info.run_id
            for key, value in columns_of(record.config).items():
                self._client.log_param(self._id, key, value)
            self._client.log_dict(self._id, record.config, "config.json")
        for row in run.read_metrics()[:epochs_done]:
            self.epoch(row)

    def epoch(self, row: Mapping[str, Any]) -> None:
        """Add one point to every curve; the step is the epoch."""
        if self._client is None:
            return
        from mlflow.entities import Metric

        now, step = int(time.time() * 1000), int(row["epoch"])
        metrics = [
            Metric(key, float(value), now, step) for key, value in row.items() if isinstance(value, (int, float))
        ]
        with self._alone():
            self._client.log_batch(self._id, metrics=metrics)

    def confusion(self, confusion: Confusion) -> None:
        """Keep the counts."""
        if self._client is not None:
            content = {"labels": confusion.labels, "counts": confusion.counts}
            with self._alone():
                self._client.log_dict(self._id, content, "confusion.json")

    def trained(self, network: nn.Module, images: Tensor) -> None:
        """Keep the network, with the signature that images and logits have."""
        if self._client is None or not self._keeps_model:
            return
        import mlflow
        import torch
        from mlflow.models import infer_signature

        network.eval()
        sample = images[:2].contiguous().float()
        with torch.inference_mode():
            logits = network(sample)
        signature = infer_signature(sample.cpu().numpy(), logits.float().cpu().numpy())
        with self._alone():
            mlflow.set_tracking_uri(str(self._uri))
            with mlflow.start_run(run_id=self._id):
                mlflow.pytorch.log_model(
                    network,
                    name="model",
                    signature=signature,
                    pip_requirements=[f"torch=={torch.__version__.partition('+')[0]}", "hydra-sweeps"],
                    serialization_format="pickle",  # the other one fixes the size of a batch
                )

    def close(self, outcome: Status) -> None:
        """End the run."""
        if self._client is None:
            return
        with self._alone():
            if self._run.metrics.is_file():
                self._client.log_artifact(self._id, str(self._run.metrics))
            self._client.set_tag(self._id, "sweeps.status", str(outcome))
            self._client.set_terminated(self._id, status=_STATES.get(outcome, "KILLED"))

    def _experiment_id(self) -> str:
        is_local = str(self._uri).startswith("sqlite:")
        location = (self._place / "artifacts").as_uri() if is_local else None
        found = self._client.get_experiment_by_name(self._experiment)
        if found is not None:
            if self._is_ours and found.artifact_location != location:
                raise ConfigError(
                    f"{self._uri} keeps artifacts in {found.artifact_location} instead of {location}; move it away"
                )
            return str(found.experiment_id)
        return str(self._client.create_experiment(self._experiment, artifact_location=location))

    def _parent(self, experiment: str, sweep: str) -> str:
        found = self._found(experiment, SWEEP_TAG, sweep)
        if found:
            return found[0]
        parent = self._client.create_run(experiment, run_name=sweep, tags={SWEEP_TAG: sweep}).info.run_id
        self._client.set_terminated(parent)  # nobody knows which cell is the last
        return str(parent)

    def _found(self, experiment: str, tag: str, value: str) -> Sequence[str]:
        quoted = value.replace("'", "\\'")
        runs = self._client.search_runs([experiment], filter_string=f"tags.`{tag}` = '{quoted}'")
        return [str(run.info.run_id) for run in runs if run.data.tags.get(tag) == value]

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """SQLite takes one writer at a time, and a store must not be made by two: the runs of a sweep take turns."""
        if not str(self._uri).startswith("sqlite:") or os.name == "nt":
            yield
            return
        import fcntl

        make_folder(self._place)
        for link in links_in(self._place) if self._is_ours else ():
            raise ConfigError(f"{link} is a link, which is not written through; remove it")
        with open_to_append(self._place / ".lock") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
