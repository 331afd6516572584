"""TensorBoard's HParams table, as a real server gives it: one row for each run, whatever its end."""

import json
import os
import re
import subprocess
import sys
import time
import urllib.request

import pytest

from sweeps.record.records import RunDir, Status
from sweeps.trackers.tensorboard import TensorBoardTracker

from .conftest import follow, new_record, rows_of


@pytest.mark.slow
def test_a_server_shows_one_row_for_each_run(tmp_path):
    ends = {"good": Status.COMPLETED, "wild": Status.DIVERGED, "bad": Status.FAILED, "on": Status.INTERRUPTED}
    for name, end in ends.items():
        record = new_record("optim.lr=0.1", "model=mlp")
        tracker = TensorBoardTracker()
        run = RunDir(tmp_path / name)
        follow(tracker, run, record, rows_of(2), end=Status.FAILED if name == "good" else None)
        record.facts["parameters"] = 12  # before the first report of this attempt
        follow(TensorBoardTracker(), run, record, rows_of(4), done=2, end=end)
    with server(tmp_path, len(ends)) as ask:
        runs = {f"{name}/tensorboard" for name in ends}
        assert set(ask("/data/runs")) == runs
        tags = ask("/data/plugin/scalars/tags")
        assert {"train_loss", "val_loss"} <= set(tags["good/tensorboard"])
        table = ask(
            "/data/plugin/hparams/session_groups",
            {"allowedStatuses": ["STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING", "STATUS_UNKNOWN"],
             "startIndex": 0, "sliceSize": 100, "colParams": []},
        )  # fmt: skip
        sessions = {
            session["name"]: (group, session) for group in table["sessionGroups"] for session in group["sessions"]
        }
        assert sessions.keys() == runs
        assert {name.partition("/")[0]: session["status"] for name, (_, session) in sessions.items()} == {
            "good": "STATUS_SUCCESS", "wild": "STATUS_FAILURE", "bad": "STATUS_FAILURE", "on": "STATUS_UNKNOWN",
        }  # fmt: skip
        group, session = sessions["good/tensorboard"]
        assert group["hparams"] == {"optim.lr": 0.1, "model": "mlp", "seed": 0.0, "parameters": 12.0}
        metrics = {value["name"]["tag"]: value["value"] for value in session["metricValues"]}
        assert metrics["val_loss"] == 0.5


class server:
    """A TensorBoard on the loopback; called with a path (and a body) it answers what JSON it gives."""

    def __init__(self, folder, count):
        self._folder = folder
        self._count = count

    def __enter__(self):
        command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(self._folder), "--port", "0"]
        command += ["--host", "127.0.0.1", "--load_fast=false", "--reload_interval", "1"]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
        for line in self._process.stderr:
            found = re.search(r"http://127\.0\.0\.1:(\d+)/", line)
            if found:
                self._address = found[0].rstrip("/")
                break
        deadline = time.monotonic() + 60
        while len(self("/data/runs")) < self._count and time.monotonic() < deadline:
            time.sleep(0.5)
        return self

    def __call__(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._address + path, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait(timeout=30)
        self._process.stderr.close()
