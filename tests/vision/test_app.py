"""The command line: exit codes, and words instead of tracebacks for whoever types it."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

from sweeps.record.records import RunDir, Status, find_runs
from sweeps.vision import app
from sweeps.vision import task as vision_task
from sweeps.vision.app import help_text
from sweeps.vision.training.engine import Training

SMOKE = ("experiment=smoke", "dataset.limit=64", "trainer.threads=1", "sweep/tracker=none", "device=cpu")
SWEEP = ("-m", "hydra.launcher.workers=0", "sweep.name=study", *SMOKE)


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def text(self):
        return self.out + self.err


@pytest.fixture
def logging_restored():
    """Hydra configures logging for the whole process."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def sweeps(monkeypatch, tmp_path, capfd, logging_restored):
    """Type a command, in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    monkeypatch.setenv("COLUMNS", "500")

    def type_in(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["sweeps", *arguments])
        os.environ["HYDRA_FULL_ERROR"] = "0"
        capfd.readouterr()
        code = 0
        try:
            app.main()
        except SystemExit as end:
            code = end.code
        finally:
            GlobalHydra.instance().clear()
            HydraConfig.instance().cfg = None
        return Done(code, *capfd.readouterr())

    return type_in


def in_process_of_its_own(*arguments, cwd, **options):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "500"}
    environment.pop("HYDRA_FULL_ERROR", None)
    command = [sys.executable, "-W", "error::DeprecationWarning:sweeps", "-m", "sweeps", *arguments]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, **options)
    return Done(done.returncode, done.stdout, done.stderr)


def statuses(folder):
    return {run.path.name: run.read().status for run in find_runs(folder)}


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_help_names_every_group_its_options_and_five_commands(sweeps):
    done = sweeps("--help")
    assert (done.code, done.err) == (0, "")
    for group in (
        "augment",
        "dataset",
        "experiment",
        "model",
        "optim",
        "resize",
        "schedule",
        "trainer",
        "sweep/pruner",
        "sweep/tracker",
    ):
        assert f"\n  {group} " in done.out
    for option in ("googlenet", "extra/torchvision", "[fashion_mnist]", "[sgd]", "one_cycle", "[tensorboard]", "smoke"):
        assert option in done.out
    assert done.out.count("\n  python -m sweeps") >= 5
    assert done.out == help_text() + "\n" == sweeps("-h").out


def test_the_commands_in_the_help_can_be_composed(compose):
    lines = [line.strip() for line in help_text().splitlines() if line.startswith("  python -m sweeps ")]
    composed = 0
    for line in lines:
        words = [word.strip("'") for word in line.partition("   ")[0].split()[3:]]
        overrides = [
            word for word in words if "=" in word and "," not in word and "glob" not in word and word.islower()
        ]
        assert compose(*overrides)
        composed += bool(overrides)
    assert composed >= 3


def test_help_starts_without_torch():
    code = "import sys\nsys.argv = ['sweeps', '--help']\nfrom sweeps.vision.app import main\n"
    code += "main()\nprint('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.endswith("\nFalse\n"), done.stderr


def test_the_composed_config_is_shown_without_a_run(sweeps, tmp_path):
    done = sweeps("model=nin", "--cfg", "job")
    assert done.code == 0
    assert "_target_: sweeps.vision.models.nin" in done.out
    assert list(tmp_path.iterdir()) == []


def test_one_run(sweeps, tmp_path):
    done = sweeps(*SMOKE, "sweep.name=study", "seed=3")
    assert done.code == 0, done.err
    (run,) = find_runs(tmp_path / "multirun")
    record = run.read()
    assert run.path.parent == tmp_path / "multirun/study"
    assert run.path.name == record.name == "dataset.limit=64,experiment=smoke,seed=3"
    assert record.status is Status.COMPLETED
    assert (record.sweep, record.config["seed"]) == ("study", 3)
    assert "seed=3" in record.overrides
    assert {path.name for path in (run.path / ".hydra").iterdir()} == {"config.yaml", "overrides.yaml", "hydra.yaml"}
    assert "completed" in done.out
    assert f"{record.objective.value:.4f}" in done.out
    assert "\x1b" not in done.out, "no colours where there is no terminal"


def test_the_objective_is_what_the_task_returns(sweeps, monkeypatch):
    returned = []
    task = app.task
    monkeypatch.setattr(app, "task", lambda cfg: returned.append(task(cfg)))
    assert sweeps(*SMOKE, "sweep.name=study").code == 0
    assert sweeps(*SMOKE, "sweep.name=study", "optim.lr=1e38").code == 0
    value = RunDir("multirun/study/dataset.limit=64,experiment=smoke").read().objective.value
    assert returned[0] == value
    assert returned[1] != returned[1]  # NaN: there is none


def test_the_same_command_again_has_nothing_left_to_do(sweeps, tmp_path, monkeypatch):
    assert sweeps(*SMOKE, "sweep.name=study").code == 0
    before = (tmp_path / "multirun/study/dataset.limit=64,experiment=smoke/run.json").read_bytes()
    monkeypatch.setattr(vision_task, "train_epoch", None)
    done = sweeps(*SMOKE, "sweep.name=study")
    assert done.code == 0
    assert ": completed" in done.out
    assert (tmp_path / "multirun/study/dataset.limit=64,experiment=smoke/run.json").read_bytes() == before


def test_a_run_that_diverges_is_a_result(sweeps):
    done = sweeps(*SMOKE, "optim.lr=1e38")
    assert done.code == 0
    assert "diverged" in done.out
    assert "the train loss became" in done.out


# command, what the answer must hold
MISTAKES = {
    "unknown model": (["model=lenet"], ["Could not find 'model/lenet'", "lenet_bn", "alexnet"]),
    "unknown group": (["colour=red"], ["colour"]),
    "unknown key": (["trainer.epoch=3"], ["Key 'epoch' not in 'TrainerConfig'"]),
    "unknown key of an optimizer": (["optim.rate=3"], ["Key 'rate' is not in struct", "+optim.rate=3"]),
    "wrong type": (["trainer.epochs=many"], ["Value 'many'", "could not be converted to Integer"]),
    "a number for a name": (["resize=96"], ["resize=px96"]),
    "no value": (["trainer.epochs"], ["trainer.epochs"]),
    "a list where one value goes": (["optim.lr=0.1,0.2"], ["optim.lr", "multirun"]),
    "bad sweep": (["sweep.name=../up"], ["sweep.name='../up' is invalid", "sweep.name=lr_study"]),
    "absolute sweep": (["sweep.name=/etc"], ["sweep.name='/etc' is invalid"]),
    "long sweep": (["sweep.name=" + "x" * 300], ["300 characters, 120 are allowed"]),
    "no sweep": (["sweep.name="], ["sweep.name='' is invalid"]),
    "negative rate": (["optim.lr=-1"], ["optim.lr=-1 is invalid", "above 0"]),
    "small images": (["model=alexnet", "resize.size=32"], ["resize.size=32", "alexnet", "resize.size>=65"]),
    "no device": (["device=abacus"], ["device=abacus is unknown", "auto, cpu, cuda"]),
    "a schedule that cannot be": (["schedule=one_cycle", "schedule.warmup=2"], ["error: schedule.warmup=2 is invalid"]),
    "an argument that an optimizer lacks": (["+optim.speed=9"], ["speed"]),
    "held-out images that are not": (["sweep.objective.metric=val_acc"], ["metric=val_acc", "dataset.validation"]),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "fragments"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_answered_in_words(sweeps, arguments, fragments):
    done = sweeps("experiment=smoke", "sweep/tracker=none", "device=cpu", *arguments)
    assert done.code == 1
    for fragment in fragments:
        assert fragment in done.err
    assert "Traceback" not in done.text
    assert "HYDRA_FULL_ERROR" not in done.err
    assert len(done.err.splitlines()) < 25


MISTAKES_OF_ONE_CELL = {
    "a rate": ["optim.lr=0.1,-1"],
    "a size": ["resize.size=28,8"],
    "a target": ["model._target_=sweeps.vision.models.lenet_bn,os.system"],
    "a model": ["model=lenet_bn,lenet"],
    "a batch": ["trainer.batch_size=32,1"],
    "a schedule": ["schedule=one_cycle", "schedule.warmup=0.1,2"],
}


@pytest.mark.parametrize("arguments", MISTAKES_OF_ONE_CELL.values(), ids=MISTAKES_OF_ONE_CELL.keys())
def test_one_bad_cell_refuses_the_grid_before_the_first_run(sweeps, tmp_path, arguments):
    done = sweeps(*SWEEP, *arguments)
    assert done.code == 1
    assert arguments[-1].rpartition(",")[2] in done.err
    assert "Traceback" not in done.text
    assert list(tmp_path.rglob("metrics.jsonl")) == []
    assert list(tmp_path.rglob("run.json")) == []


def test_a_plan_of_a_single_run_is_refused_and_trains_nothing(sweeps, tmp_path):
    done = sweeps("sweep.plan=true", "experiment=smoke")
    assert done.code == 1
    assert "sweep.plan=true needs -m" in done.err
    assert list(tmp_path.rglob("run.json")) == []


def test_the_refusal_of_a_grid_names_the_cell(sweeps):
    done = sweeps(*SWEEP, "seed=0,1", "optim.lr=0.1,-1")
    assert "optim.lr=-1,seed=0" in done.err
    assert "optim.lr=-1 is invalid" in done.err


def test_a_sweep_goes_on_past_what_diverges_and_what_fails(sweeps, tmp_path):
    """Four cells: one is completed, one diverges, and two ask for more images than there are."""
    done = sweeps(*SWEEP, "optim.lr=1.0,1e38", "dataset.limit=64,7000")
    assert done.code == 1
    records = [run.read() for run in find_runs(tmp_path / "multirun/study")]
    found = {(record.config["optim"]["lr"], record.config["dataset"]["limit"]): record.status for record in records}
    assert found == {
        (1.0, 64): Status.COMPLETED,
        (1e38, 64): Status.DIVERGED,
        (1.0, 7000): Status.FAILED,
        (1e38, 7000): Status.FAILED,
    }
    assert "2 of 4 runs failed" in done.err
    assert "dataset.limit=7000 is more than the 5000 training images" in done.text
    assert "diverged" in done.out
    assert "Traceback" not in done.text
    failed = next(record for record in records if record.status is Status.FAILED)
    assert (failed.error.kind, failed.error.traceback) == ("config", "")


def test_an_exception_in_one_run_stops_no_other(sweeps, tmp_path, monkeypatch):
    forward = Training.forward

    def failing(self, images):
        if self.lr(1) == 0.25:
            raise ZeroDivisionError("by accident")
        return forward(self, images)

    monkeypatch.setattr(Training, "forward", failing)
    done = sweeps(*SWEEP, "optim.lr=0.25,0.5,1.0")
    assert done.code == 1
    records = {run.read().config["optim"]["lr"]: run.read() for run in find_runs(tmp_path / "multirun/study")}
    assert {lr: record.status for lr, record in records.items()} == {
        0.25: Status.FAILED,
        0.5: Status.COMPLETED,
        1.0: Status.COMPLETED,
    }
    assert "ZeroDivisionError: by accident" in done.text
    assert "1 of 3 runs failed" in done.err
    assert "by accident" in records[0.25].error.traceback
    assert "Traceback" not in done.text

    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    done = sweeps(*SWEEP, "optim.lr=0.25,0.5,1.0")
    assert done.code == 0, done.err
    assert set(statuses(tmp_path / "multirun/study").values()) == {Status.COMPLETED}


def test_a_grid_that_grows_does_what_is_new(sweeps, tmp_path, monkeypatch):
    assert sweeps(*SWEEP, "seed=0,1").code == 0
    before = contents(tmp_path / "multirun/study")
    trained = []
    train = vision_task.train_epoch
    monkeypatch.setattr(vision_task, "train_epoch", lambda *given: (trained.append(1), train(*given))[1])
    assert sweeps(*SWEEP, "seed=2,1,0").code == 0
    assert len(trained) == 1, "the epoch of one run"
    found = contents(tmp_path / "multirun/study")
    records = {path for path in before if path.name in ("run.json", "metrics.jsonl")}
    assert len(records) == 4
    assert {path: found[path] for path in records} == {path: before[path] for path in records}
    assert len(list(find_runs(tmp_path / "multirun/study"))) == 3


def test_a_folder_with_another_run_is_left_as_it_is(sweeps, tmp_path):
    assert sweeps(*SMOKE, "sweep.name=study", "seed=3").code == 0
    (run,) = find_runs(tmp_path / "multirun")
    data = json.loads(run.record.read_text())
    data["config"]["optim"]["lr"] = 0.125
    run.record.write_text(json.dumps(data | {"run_id": "0" * 12, "composition": ""}))
    data = json.loads(run.record.read_text())
    before = contents(tmp_path)
    done = sweeps(*SMOKE, "sweep.name=study", "seed=3", "device=auto")
    assert done.code == 1
    assert "optim.lr: 0.125 -> 1" in done.err
    assert "Traceback" not in done.err
    assert contents(tmp_path) == before


def test_a_sweep_says_why_it_leaves_a_folder_as_it_is(sweeps, tmp_path):
    assert sweeps(*SWEEP, "seed=0,1").code == 0
    run = next(find_runs(tmp_path / "multirun"))
    data = json.loads(run.record.read_text())
    data["config"]["optim"]["lr"] = 0.125
    run.record.write_text(json.dumps(data | {"run_id": "0" * 12, "composition": ""}))
    data = json.loads(run.record.read_text())
    done = sweeps(*SWEEP, "seed=0,1,2")
    assert done.code == 1
    assert "optim.lr: 0.125 -> 1" in done.text
    assert json.loads(run.record.read_text()) == data


def test_a_newer_record_is_left_as_it_is(sweeps, tmp_path):
    folder = tmp_path / "multirun/study/dataset.limit=64,experiment=smoke"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text('{"schema_version": 99}')
    before = contents(tmp_path)
    done = sweeps(*SMOKE, "sweep.name=study")
    assert done.code == 1
    assert "pip install --upgrade" in done.err
    assert contents(tmp_path) == before


@pytest.mark.parametrize("mode", [(), ("-m", "hydra.launcher.workers=0")], ids=["one run", "sweep"])
@pytest.mark.parametrize("output", ["/proc/nothing", "a_file", "a_file/below", "/dev/null/below"])
def test_an_output_folder_that_cannot_be_written(sweeps, tmp_path, output, mode):
    (tmp_path / "a_file").write_text("in the way")
    done = sweeps(*mode, *SMOKE, "sweep.name=study", f"sweep.output={output}")
    assert done.code == 1
    assert "Traceback" not in done.text
    assert output.partition("/below")[0] in done.err
    assert "sweep.output=FOLDER" in done.err
    assert (tmp_path / "a_file").read_text() == "in the way"


def test_a_file_in_the_way_of_one_run_stops_no_other(sweeps, tmp_path):
    (tmp_path / "multirun/study").mkdir(parents=True)
    (tmp_path / "multirun/study/dataset.limit=64,experiment=smoke,seed=0").write_text("in the way")
    done = sweeps(*SWEEP, "seed=0,1")
    assert done.code == 1
    assert "Traceback" not in done.text
    assert "dataset.limit=64,experiment=smoke,seed=0" in done.text
    assert statuses(tmp_path / "multirun/study") == {"dataset.limit=64,experiment=smoke,seed=1": Status.COMPLETED}


def test_a_run_whose_program_is_at_fault_points_to_its_traceback(sweeps, tmp_path, monkeypatch):
    monkeypatch.setattr(vision_task, "train_epoch", None)
    done = sweeps(*SMOKE, "sweep.name=study")
    assert done.code == 1
    assert "TypeError" in done.err
    (run,) = find_runs(tmp_path / "multirun")
    assert "run.json" in done.err
    assert "Traceback" in run.read().error.traceback


def test_a_fault_of_the_program_outside_a_run_shows_its_traceback(sweeps, monkeypatch):
    monkeypatch.setattr(app, "conf_dir", lambda: Path("/nonexistent"))
    monkeypatch.setattr("hydra.main", lambda **options: lambda task: lambda: 1 / 0)
    done = sweeps(*SMOKE)
    assert done.code == 1
    assert "Traceback" in done.err


def test_ctrl_c_says_how_to_go_on(sweeps, monkeypatch, tmp_path):
    def interrupting(*given):
        raise KeyboardInterrupt

    monkeypatch.setattr(vision_task, "train_epoch", interrupting)
    done = sweeps(*SMOKE, "sweep.name=study")
    assert done.code == 130
    assert "sweep.name=NAME" in done.err
    assert "Traceback" not in done.text
    assert list(statuses(tmp_path / "multirun").values()) == [Status.INTERRUPTED]


@pytest.mark.slow
def test_smoke_as_people_type_it(tmp_path):
    done = in_process_of_its_own("experiment=smoke", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    (run,) = find_runs(tmp_path / "multirun")
    assert run.read().status is Status.COMPLETED
    assert any((run.path / "tensorboard").iterdir())
    assert run.path.parent.relative_to(tmp_path / "multirun").parts[0].count("-") == 2, "date and time"


@pytest.mark.slow
def test_a_sweep_as_people_type_it(tmp_path):
    grid = ("-m", *SMOKE, "sweep.name=study", "optim.lr=1.0,1e38", "dataset.limit=64,7000")
    done = in_process_of_its_own(*grid, cwd=tmp_path)
    assert done.code == 1
    found = sorted(statuses(tmp_path / "multirun/study").values())
    assert found == [Status.COMPLETED, Status.DIVERGED, Status.FAILED, Status.FAILED]
    assert "7000" in done.text
    assert "Traceback" not in done.text
    records = contents(tmp_path / "multirun/study")
    again = in_process_of_its_own(*grid[:-1], "dataset.limit=64", cwd=tmp_path)
    assert again.code == 0, again.err
    kept = {path: text for path, text in contents(tmp_path / "multirun/study").items() if path.name == "metrics.jsonl"}
    assert kept == {path: text for path, text in records.items() if path.name == "metrics.jsonl"}


@pytest.mark.slow
def test_a_killed_run_goes_on_from_its_last_epoch(tmp_path):
    command = (
        *SMOKE,
        "sweep.name=study",
        "trainer.epochs=150",
        "sweep.checkpoint_every=1",
        "trainer.save_weights=true",
    )
    folder = RunDir(tmp_path / "multirun/study/dataset.limit=64,experiment=smoke,trainer.epochs=150")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "sweeps", *command], cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL
    )
    while len(folder.read_metrics() if folder.metrics.exists() else ()) < 3:
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done_before = folder.read_metrics()
    assert len(done_before) < 150
    assert folder.read().status is Status.INTERRUPTED

    assert in_process_of_its_own(*command, cwd=tmp_path).code == 0
    assert folder.read().status is Status.COMPLETED
    rows = folder.read_metrics()
    assert [row["step"] for row in rows] == list(range(1, 151))
    assert rows[: len(done_before) - 1] == done_before[:-1], "epochs that were done were not done again"
