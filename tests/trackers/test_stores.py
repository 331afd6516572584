"""What MLflow and Weights & Biases have of a run, read back with their own clients."""

import contextlib
import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from sweeps.record.records import RunDir, Status

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # of packages that are not ours
QUICK = ("trainer.epochs=2", "trainer.save_weights=false")


def test_an_mlflow_store_that_somebody_else_made_leads_nowhere(run_into, tmp_path):
    pytest.importorskip("mlflow")
    sqlite3 = pytest.importorskip("sqlite3")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("precious")
    run_into(RunDir(tmp_path / "study" / "a"), "tracker=mlflow", *QUICK)
    store = tmp_path / "study" / "mlflow"
    with contextlib.closing(sqlite3.connect(store / "mlflow.db")) as connection, connection:
        connection.execute("update experiments set artifact_location = ?", ((outside / "artifacts").as_uri(),))
    run_into(RunDir(tmp_path / "study" / "b"), "tracker=mlflow", "seed=1", *QUICK)
    (store / ".lock").unlink()
    (store / ".lock").symlink_to(outside / "file")
    run_into(RunDir(tmp_path / "study" / "c"), "tracker=mlflow", "seed=2", *QUICK)
    assert [path.name for path in outside.iterdir()] == ["file"]
    assert (outside / "file").read_text() == "precious"
    assert {RunDir(tmp_path / "study" / name).read().status for name in "abc"} == {Status.COMPLETED}


def test_an_mlflow_store_holds_the_sweep_its_runs_and_the_model(run_into, tmp_path):
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    study = tmp_path / "study"
    for lr in (0.1, 0.2):
        run_into(
            RunDir(study / f"lr={lr}"), "tracker=mlflow", f"optim.lr={lr}", f"tracker.mlflow.model={lr == 0.1}", *QUICK
        )
    run_into(RunDir(study / "wild"), "tracker=mlflow", "optim.lr=1e38", *QUICK)
    uri = f"sqlite:///{study / 'mlflow' / 'mlflow.db'}"
    client = mlflow.MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("sweeps")
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = [run for run in runs if "sweeps.sweep" in run.data.tags]
    cells = {run.data.params["optim.lr"]: run for run in runs if run is not parent}
    assert cells.keys() == {"0.1", "0.2", "1e+38"}
    assert {run.data.tags["mlflow.parentRunId"] for run in cells.values()} == {parent.info.run_id}
    assert cells["1e+38"].data.tags["sweeps.status"] == "diverged"
    rows = RunDir(study / "lr=0.1").read_metrics()
    history = client.get_metric_history(cells["0.1"].info.run_id, "test_acc")
    assert {point.step: point.value for point in history} == {row["epoch"]: row["test_acc"] for row in rows}
    artefacts = {file.path for file in client.list_artifacts(cells["0.1"].info.run_id)}
    assert {"confusion.json", "config.json", "metrics.jsonl"} <= artefacts
    mlflow.set_tracking_uri(uri)
    (model,) = mlflow.search_logged_models([experiment.experiment_id], output_format="list")[:1]
    signature = mlflow.models.get_model_info(model.model_uri).signature
    assert signature.inputs.inputs[0].shape == (-1, 1, 28, 28)
    assert signature.outputs.inputs[0].shape == (-1, 10)


def test_an_mlflow_run_that_goes_on_is_one_run_with_every_epoch_once(run_into, tmp_path):
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    from .test_tensorboard import StopAfter

    folder = RunDir(tmp_path / "study" / "cell")
    with pytest.raises(KeyboardInterrupt):
        run_into(folder, "tracker=mlflow", "trainer.epochs=3", progress=StopAfter(2))
    run_into(folder, "tracker=mlflow", "trainer.epochs=3", "tracker.mlflow.model=false")
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'study' / 'mlflow' / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("sweeps").experiment_id])
    (cell,) = [run for run in runs if "sweeps.folder" in run.data.tags]
    assert cell.info.status == "FINISHED"
    assert [point.step for point in client.get_metric_history(cell.info.run_id, "train_loss")] == [1, 2, 3]


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


def test_wandb_writes_offline_files_that_can_be_read(do_run, folder, monkeypatch):
    pytest.importorskip("wandb")
    from wandb.proto import wandb_internal_pb2

    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    assert do_run("tracker=wandb", "optim.lr=0.125", *QUICK).status is Status.COMPLETED
    (path,) = folder.path.glob("wandb/offline-run-*/run-*.wandb")
    logged, config = [], {}
    for data in leveldb_records(path.read_bytes()[7:], 7):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        if record.WhichOneof("record_type") == "history":
            items = {item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
            logged.append(items)
        if record.WhichOneof("record_type") == "run":
            config |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
    rows = folder.read_metrics()
    assert [{key: row[key] for key in rows[0]} for row in logged] == rows
    assert config["optim"]["lr"] == 0.125


def test_wandb_leaves_no_process_behind(tmp_path):
    pytest.importorskip("wandb")
    command = [sys.executable, "-m", "sweeps", "experiment=smoke", "tracker=wandb", "device=cpu", "sweep=w"]
    done = subprocess.run([*command, "dataset.limit=20"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("multirun/w/*/wandb/offline-run-*"))
    folders = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended, or is another's
            folders[process.name] = (process / "cwd").readlink()
    assert [pid for pid, folder in folders.items() if folder.is_relative_to(tmp_path)] == []
