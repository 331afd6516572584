"""Before the first epoch: the grid is checked, a plan costs nothing, and what a sweep rests on is written down."""

import contextlib
import json
import re
import sys
import time
from pathlib import Path

import pytest
import torch

from sweeps.record.records import Status, find_runs

from .conftest import SMALL, contents, runs_by

SWEEP = ("-m", "sweep.name=study", "hydra.launcher.workers=0", *SMALL, "dataset.limit=50", "trainer.epochs=1")


def everything(folder):
    return contents(folder, without=())


def test_a_plan_is_printed_and_nothing_is_written(sweeps, tmp_path):
    done = sweeps(*SWEEP, "model=lenet_bn", "optim.lr=0.1,0.2,0.10", "seed=0,1", "sweep.plan=true", "trainer.epochs=7")
    assert done.code == 0
    assert list(tmp_path.iterdir()) == []
    rows = [line.split() for line in done.text.splitlines() if line.lstrip().startswith("optim.lr=")]
    (cell,) = [row for row in rows if "44,878" in row]
    assert cell[1:5] == ["4", "44,878", "281,640", "7"], "runs, parameters, million operations an image, epochs"
    assert re.fullmatch(r"\d+:\d\d", cell[5])
    assert cell[-1] == "MiB"
    alike = [row[0] for row in rows[rows.index(cell) :]]
    assert alike == ["optim.lr=0.1,0.2"]
    assert "seed=0,1" in done.text.split(), "a line for each key"
    assert "optim.lr=0.1,seed=1: duplicate, runs once" in done.text
    assert "4 of 6 runs to do, 28 steps: about " in done.text
    assert "Nothing was started." in done.text


@pytest.mark.parametrize(
    ("swept", "warned"),
    [
        (("optim.weight_decay=0,5e-4", "augment=none,flip_crop"), "augment and optim.weight_decay regularise, which"),
        (("augment.flip=0,0.5",), "augment.flip regularises, which raises sweep.pruner.metric=train_loss_recent"),
        (("optim.lr=0.1,0.2", "optim.weight_decay=5e-4"), None),
        (("optim.weight_decay=0,5e-4", "dataset.validation=0.1"), None),
        (("optim.weight_decay=0,5e-4", "sweep/pruner=patience"), None),
        (("optim.weight_decay=0,5e-4", "sweep/pruner=none"), None),
    ],
)
def test_the_plan_warns_of_pruning_what_regularises_by_the_train_loss(sweeps, swept, warned):
    pruner = () if any(text.startswith("sweep/pruner") for text in swept) else ("sweep/pruner=asha",)
    done = sweeps(*SWEEP, *swept, *pruner, "sweep.plan=true")
    assert done.code == 0
    if warned is None:
        assert "warning" not in done.text
    else:
        assert f"warning: {warned}" in done.text
        assert "Compare by held-out images: dataset.validation=0.1" in done.text


def test_a_plan_of_a_sweep_that_has_begun_says_what_is_left_and_changes_nothing(sweeps, tmp_path):
    study = tmp_path / "multirun" / "study"
    sweeps(*SWEEP, "seed=0,1")
    before = everything(study)
    done = sweeps(*SWEEP, "seed=0,1,2", "sweep.plan=true")
    assert done.code == 0
    assert "1 of 3 runs to do" in done.text
    assert "2 already complete, skipped" in done.text
    assert everything(study) == before


def test_a_plan_without_a_name_leaves_no_folder(sweeps, tmp_path):
    assert sweeps("-m", *SWEEP[2:], "seed=0", "sweep.plan=true").code == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [("sweep.name=study",), ()], ids=["named", "named by the time"])
def test_one_bad_cell_refuses_the_grid_and_leaves_no_folder(sweeps, tmp_path, name):
    cells = ("model._target_=networks.refused", "+model.bad=false,true", "seed=0,1")
    done = sweeps("-m", *name, *SWEEP[2:], *cells)
    assert done.code == 1
    assert "error: +model.bad=True,seed=0: this network cannot be built; choose +model.bad=false" in done.text
    assert "(1 more run cannot start)" in done.text
    assert "No run was started" in done.text
    assert "Traceback" not in done.text
    assert list(tmp_path.iterdir()) == []


def test_a_bad_new_cell_leaves_a_sweep_as_it_was(sweeps, tmp_path):
    study = tmp_path / "multirun" / "study"
    sweeps(*SWEEP, "seed=0")
    before = contents(study)
    done = sweeps(*SWEEP, "seed=0", "trainer.batch_size=25,0")
    assert done.code == 1
    assert "trainer.batch_size=0 is invalid" in done.text
    assert contents(study) == before


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("sweep.on_failure=explode", "sweep.on_failure=explode is invalid: it is one of continue, stop"),
        ("sweep.on_mismatch=ask", "sweep.on_mismatch=ask is invalid: it is one of refuse, rerun, keep"),
        ("sweep.stop_after=0", "sweep.stop_after=0 is invalid: at least 1"),
        ("sweep.retries=-1", "sweep.retries=-1 is invalid"),
        ("sweep.timeout=0", "sweep.timeout=0.0 is invalid"),
        ("hydra.launcher.workers=-1", "hydra.launcher.workers=-1 is invalid: at least 0"),
        ("hydra.launcher.workers=many", "Value 'many' of type 'str' could not be converted to Integer"),
        ("hydra.launcher.threads=9999", "hydra.launcher.threads=9999 is invalid: there are "),
        ("hydra.launcher.recycle_after=0", "hydra.launcher.recycle_after=0 is invalid: at least 1"),
        ("hydra.launcher.speed=9", "Key 'speed' not in 'LocalLauncherConfig'"),
        ("sweep.name=../outside", "sweep.name='../outside' is invalid"),
        ("sweep.name=/outside", "sweep.name='/outside' is invalid"),
        (f"sweep.name={'x' * 300}", "it has 300 characters"),
    ],
)
def test_bad_input_is_refused_by_its_name_and_leaves_nothing(sweeps, tmp_path, monkeypatch, argument, message):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    done = sweeps(*SWEEP, "seed=0,1", "device=auto", argument)
    assert (done.code, "Traceback" in done.text) == (1, False)
    assert message in done.text
    assert list(tmp_path.iterdir()) == []


def test_more_gpus_than_there_are(sweeps, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    done = sweeps(*SWEEP, "seed=0,1", "device=auto", "hydra.launcher.workers=null", "hydra.launcher.gpus=3")
    assert done.code == 1
    assert "hydra.launcher.gpus=3 is invalid: 2 are visible to this process" in done.text
    assert list(tmp_path.iterdir()) == []


def test_what_a_sweep_rests_on_is_written_down_at_every_start(sweeps, tmp_path):
    path = tmp_path / "multirun" / "study" / "sweep.json"
    sweeps(*SWEEP, "seed=0")
    (first,) = json.loads(path.read_text())["invocations"]
    assert first["command"] == ["sweeps", *SWEEP, "seed=0"]
    assert first["folder"] == str(tmp_path)
    assert first["packages"]["torch"] == torch.__version__.partition("+")[0]
    assert {"hydra-sweeps", "hydra-core", "omegaconf", "numpy"} <= first["packages"].keys()
    assert first["python"] == sys.version.split()[0]
    assert {"began", "host", "device", "git", "diff", "slots"} <= first.keys()
    sweeps(*SWEEP, "seed=0,1")
    again = json.loads(path.read_text())["invocations"]
    assert again[0] == first
    assert again[1]["command"][-1] == "seed=0,1"


def test_the_record_of_every_cell_has_its_config_from_the_start(sweeps, tmp_path, monkeypatch):
    """Also of those that were never begun: an analysis knows what is missing."""
    monkeypatch.setenv("FAULTS_ONCE", str(tmp_path))
    sweeps(*SWEEP, "model._target_=networks.faulty", "+model.fault=exception", "seed=0,1", "sweep.on_failure=stop")
    pending = runs_by(tmp_path / "multirun" / "study", "seed")[1].read()
    assert (pending.status, pending.attempts, pending.process, pending.started) == (Status.PENDING, 0, None, "")
    assert pending.config["dataset"]["limit"] == 50
    assert pending.facts["parameters"] == 44_878
    assert [path.name for path in runs_by(tmp_path / "multirun" / "study", "seed")[1].path.iterdir()] == ["run.json"]


def test_equal_batches_are_proven_by_equal_hashes(sweeps, tmp_path):
    sweeps(*SWEEP, "optim.lr=0.1,0.2", "seed=0,1")
    sweeps(*SWEEP, "optim.lr=0.1", "seed=0", "dataset.limit=50,40")
    sweeps(*SWEEP, "optim.lr=0.1", "seed=0", "trainer.batch_size=25,10")
    hashes = {}
    for run in find_runs(tmp_path / "multirun" / "study"):
        config = run.read().config
        key = (config["seed"], config["dataset"]["limit"], config["trainer"]["batch_size"])
        hashes.setdefault(key, set()).add(run.read().facts["data_order"])
    assert len(hashes) == 4
    assert all(len(same) == 1 for same in hashes.values()), "another rate, the same batches"
    assert len(set.union(*hashes.values())) == 4, "another seed, other images or another batch size: other batches"
    assert all(re.fullmatch(r"[0-9a-f]{12}", value) for (value,) in hashes.values())


@pytest.mark.slow
def test_the_parent_never_imports_torch(shell):
    started = shell.start("-m", "sweep.name=study", "seed=0,1", "hydra.launcher.workers=1", *SMALL, "trainer.epochs=20")
    libraries = {"parent": "", "worker": ""}
    while started.process.poll() is None:
        for who, pid in [("parent", started.pid), *(("worker", pid) for pid in started.workers)]:
            with contextlib.suppress(OSError):  # it ended meanwhile
                libraries[who] += Path(f"/proc/{pid}/maps").read_text()
        time.sleep(0.1)
    assert started.end().code == 0
    assert "libtorch" in libraries["worker"]
    assert "python" in libraries["parent"], "its libraries were seen"
    assert "libtorch" not in libraries["parent"]
