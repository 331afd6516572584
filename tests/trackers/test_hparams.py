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
from sweeps.trackers.settings import columns_of

from .conftest import read

WITH = ("tracker=tensorboard", "tracker.tensorboard.graph=false", "trainer.save_weights=false", "trainer.epochs=1")


def test_settings_are_typed_and_say_what_tells_runs_apart(compose):
    columns = columns_of(compose("model=alexnet", "optim=adam", "optim.lr=0.01", "seed=3"))
    assert (columns["model"], columns["optim"], columns["optim.lr"], columns["seed"]) == ("alexnet", "Adam", 0.01, 3)
    assert "trainer.clip_norm" not in columns  # null: not set
    assert not any("_target_" in key for key in columns)


def test_what_a_sweep_may_vary_has_a_column(compose):
    columns = columns_of(compose("optim=adam", "dataset.limit=500", "dataset.validation=0.1", "pruner=asha"))
    assert (columns["dataset.limit"], columns["dataset.validation"], columns["pruner"]) == (500, 0.1, "asha")
    assert columns["optim.betas"] == "[0.9, 0.999]"


def test_a_failed_run_that_is_done_again_counts_as_what_it_becomes(run_into, tmp_path, monkeypatch):
    folder = RunDir(tmp_path / "run")
    from sweeps.vision.training import checkpoint

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_weights", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run_into(folder, *WITH, "trainer.save_weights=true")
    assert len(list(folder.tensorboard.glob("*.failed"))) == 1
    assert run_into(folder, *WITH, "trainer.save_weights=true").status is Status.COMPLETED
    assert list(folder.tensorboard.glob("*.failed")) == []


def test_the_config_is_a_text(do_run, folder):
    do_run(*WITH, "optim.lr=0.123")
    (event,) = read(folder.tensorboard).Tensors("config/text_summary")
    text = event.tensor_proto.string_val[0].decode()
    assert '"lr": 0.123' in text
    assert all(line.startswith("    ") for line in text.splitlines() if "{" in line)


def test_images_that_are_taken_for_others_are_shown(do_run, folder):
    do_run(*WITH)
    assert {"confusion/test", "mistakes/test"} <= set(read(folder.tensorboard).Tags()["images"])


@pytest.mark.slow
def test_a_server_shows_one_row_for_each_run(run_into, tmp_path):
    study = tmp_path / "study"
    run_into(RunDir(study / "good"), *WITH, "optim.lr=0.1")
    run_into(RunDir(study / "wild"), *WITH, "optim.lr=1e38")
    with pytest.raises(Exception, match="limit"):
        run_into(RunDir(study / "bad"), *WITH, "dataset.limit=1000000")
    with server(study) as ask:
        runs = sorted(ask("/data/runs"))
        assert runs == [f"{name}/tensorboard" for name in ("bad", "good", "wild")]
        tags = ask("/data/plugin/scalars/tags")
        assert {"loss/train", "accuracy/test"} <= set(tags["good/tensorboard"])
        table = ask(
            "/data/plugin/hparams/session_groups",
            {"allowedStatuses": ["STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING", "STATUS_UNKNOWN"],
             "startIndex": 0, "sliceSize": 100, "colParams": []},
        )  # fmt: skip
        sessions = {
            session["name"]: (group, session) for group in table["sessionGroups"] for session in group["sessions"]
        }
        assert sessions.keys() == set(runs)
        statuses = {name: session["status"] for name, (_, session) in sessions.items()}
        assert statuses["good/tensorboard"] == "STATUS_SUCCESS"
        assert statuses["wild/tensorboard"] == statuses["bad/tensorboard"] == "STATUS_FAILURE"
        settings = {name: group["hparams"] for name, (group, _) in sessions.items()}
        assert settings["good/tensorboard"]["optim.lr"] == 0.1
        assert settings["good/tensorboard"]["model"] == "lenet_bn"
        metrics = {value["name"]["tag"]: value["value"] for value in sessions["good/tensorboard"][1]["metricValues"]}
        assert metrics["accuracy/test"] == pytest.approx(RunDir(study / "good").read().metrics["last"]["test_acc"])


class server:
    """A TensorBoard on the loopback; called with a path (and a body) it answers what JSON it gives."""

    def __init__(self, folder):
        self._folder = folder

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
        while len(self("/data/runs")) < 3 and time.monotonic() < deadline:
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
