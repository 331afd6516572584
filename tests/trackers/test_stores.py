"""What MLflow and Weights & Biases have of a run, read back with their own clients."""

import contextlib
import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from sweeps.record.records import RunDir, Status
from sweeps.trackers import Trackers
from sweeps.trackers.mlflow import MlflowTracker
from sweeps.trackers.wandb import WandbTracker

from .conftest import follow, new_record, rows_of

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # of packages that are not ours


@pytest.fixture
def mlflow():
    pytest.importorskip("sqlalchemy")
    return pytest.importorskip("mlflow")


def runs_of(mlflow, sweep):
    """The client, the parent run and the runs of the store in the folder of `sweep`."""
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{sweep / 'mlflow' / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("sweeps").experiment_id])
    (parent,) = [run for run in runs if "sweeps.sweep" in run.data.tags]
    return client, parent, [run for run in runs if "sweeps.folder" in run.data.tags]


def test_an_mlflow_store_holds_the_sweep_and_its_runs(mlflow, tmp_path):
    for name, end in (("0.1", Status.COMPLETED), ("0.2", Status.DIVERGED), ("0.3", Status.FAILED)):
        record = new_record(f"optim.lr={name}", "model@net=mlp", facts={"parameters": 12}, name=f"lr={name}")
        record.config["optim"]["lr"] = float(name)
        rows = [{"step": 0.5, "elapsed": 0.5, "train_loss": 3.0}, *rows_of(3, **{"odd[name]": 1})]
        follow(MlflowTracker(), RunDir(tmp_path / record.name), record, rows, end=end)
    client, parent, runs = runs_of(mlflow, tmp_path)
    runs = {run.data.params["optim.lr"]: run for run in runs}
    assert {lr: run.info.status for lr, run in runs.items()} == {"0.1": "FINISHED", "0.2": "FINISHED", "0.3": "FAILED"}
    assert {run.data.tags["mlflow.parentRunId"] for run in runs.values()} == {parent.info.run_id}
    assert runs["0.2"].data.tags["sweeps.status"] == "diverged"
    assert runs["0.1"].data.params == {"optim.lr": "0.1", "model_net": "mlp", "parameters": "12", "seed": "0"}
    history = client.get_metric_history(runs["0.1"].info.run_id, "val_loss")
    assert {point.step: point.value for point in history} == {row["step"]: row["val_loss"] for row in rows_of(3)}
    assert [point.step for point in client.get_metric_history(runs["0.1"].info.run_id, "odd_name_")] == [1, 2, 3]
    (between,) = client.get_metric_history(runs["0.1"].info.run_id, "between_steps/train_loss")
    assert (between.step, between.value) == (500, 3.0)
    artefacts = {file.path for file in client.list_artifacts(runs["0.1"].info.run_id)}
    assert artefacts == {"config.json", "metrics.jsonl"}


def test_an_mlflow_run_that_is_resumed_is_one_run_with_every_step_once(mlflow, run):
    record = new_record("optim.lr=0.1")
    follow(MlflowTracker(), run, record, rows_of(3), end=Status.INTERRUPTED)
    record.facts["found_later"] = "yes"
    follow(MlflowTracker(), run, record, rows_of(4), done=2)
    client, _, (only,) = runs_of(mlflow, run.path.parent)
    assert only.info.status == "FINISHED"
    assert only.data.params["found_later"] == "yes"
    assert [point.step for point in client.get_metric_history(only.info.run_id, "train_loss")] == [1, 2, 3, 4]


def test_an_mlflow_store_that_somebody_else_made_leads_nowhere(mlflow, tmp_path, caplog):
    sqlite3 = pytest.importorskip("sqlite3")
    outside, sweep = tmp_path / "outside", tmp_path / "study"
    outside.mkdir()
    (outside / "file").write_text("precious")

    def do(name):
        run = RunDir(sweep / name)
        follow(Trackers([MlflowTracker()], run, new_record()), run, new_record(), rows_of(1))

    do("a")
    store = sweep / "mlflow"
    with contextlib.closing(sqlite3.connect(store / "mlflow.db")) as connection, connection:
        connection.execute("update experiments set artifact_location = ?", ((outside / "artifacts").as_uri(),))
    do("b")
    assert "keeps artifacts in" in caplog.text
    (store / ".lock").unlink()
    (store / ".lock").symlink_to(outside / "file")
    do("c")
    assert "is a link" in caplog.text
    assert [path.name for path in outside.iterdir()] == ["file"]
    assert (outside / "file").read_text() == "precious"


def leveldb_records(data, offset):
    """The records of a LevelDB log, which a `.wandb` file is: blocks of 32 KiB, each part with a header of 7 bytes."""
    place, record = 0, b""
    while place + 7 <= len(data):
        left = 32768 - (place + offset) % 32768
        if left < 7:
            place += left
            continue
        length, kind = struct.unpack_from("<HB", data, place + 4)
        record += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield record
            record = b""


def test_wandb_writes_offline_files_that_can_be_read(run, monkeypatch):
    pytest.importorskip("wandb")
    from wandb.proto import wandb_internal_pb2

    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    rows = [{"step": 0.5, "elapsed": 0.5, "train_loss": 3.0}, *rows_of(2)]
    follow(WandbTracker(), run, new_record("optim.lr=0.1", facts={"parameters": 12}), rows)
    (path,) = run.path.glob("wandb/offline-run-*/run-*.wandb")
    logged, config, summary = [], {}, {}
    for data in leveldb_records(path.read_bytes()[7:], 7):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        kind = record.WhichOneof("record_type")
        if kind == "history":
            logged.append({i.key or i.nested_key[0]: json.loads(i.value_json) for i in record.history.item})
        if kind == "run":
            config |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
        if kind == "summary":
            summary |= {i.key or i.nested_key[0]: json.loads(i.value_json) for i in record.summary.update}
    assert [{key: row[key] for key in row if not key.startswith("_")} for row in logged] == rows
    assert config["optim"]["lr"] == 0.1
    assert (summary["parameters"], summary["status"]) == (12, "completed")


SCRIPT = """
from pathlib import Path
from sweeps.record.records import RunDir
from sweeps.trackers.wandb import WandbTracker
from tests.trackers.conftest import follow, new_record, rows_of
follow(WandbTracker(), RunDir(Path("run")), new_record(), rows_of(1))
"""


def test_wandb_leaves_no_process_behind(tmp_path):
    pytest.importorskip("wandb")
    script = f"import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r})\n{SCRIPT}"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("run/wandb/offline-run-*"))
    folders = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended, or is another's
            folders[process.name] = (process / "cwd").readlink()
    assert [pid for pid, folder in folders.items() if folder.is_relative_to(tmp_path)] == []
