"""The examples as a reader uses them: swept from another folder, killed, repeated, pruned, searched, compared."""

import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from sweeps.record.records import Status, find_runs

pytestmark = pytest.mark.slow
EXAMPLES = Path(__file__).parents[1] / "examples"
HERE = "hydra.launcher.workers=0"  # without the processes, which import all of torch and more: the grid has them


@dataclass(frozen=True)
class Example:
    """An example, the grid of four runs that it is swept over, and an interval to search in."""

    name: str
    grid: tuple[str, ...]
    search: str
    module: str = "torch"  # what it needs
    metric: str = ""
    first: float = 0  # the step of the first rung; 0 where no steps are reported
    quick: tuple[str, ...] = ()


ALL = (
    Example("regression", ("lr=0.03,0.003", "width=8,16"), "lr=interval(0.001,0.1)", metric="val_loss", first=40),
    Example("structured", ("optim.lr=0.6,0.3", "optim.momentum=0.5,0"), "optim.lr=interval(0,1)", "torch", "loss", 3),
    Example("sklearn", ("max_depth=2,4", "n_estimators=2,5"), "max_depth=range(1,6)", "sklearn"),
    Example("lightning", ("lr=0.1,0.01", "width=8,4"), "lr=interval(0.01,0.1)", "lightning", "val_loss", 1),
    Example(
        "transformers", ("lr=0.01,0.001", "layers=1,2"), "lr=interval(0.001,0.01)", "transformers", "eval_loss", 4,
        ("steps=12", "every=2"),
    ),
)  # fmt: skip
WITH_STEPS = [example for example in ALL if example.first]


class Folder:
    """The folder that somebody works in, which is not that of the example."""

    def __init__(self, path, example):
        pytest.importorskip(example.module)
        self.path, self.example = path, example
        path.mkdir(parents=True, exist_ok=True)
        self.environment = {**os.environ, "PYTHONWARNINGS": "ignore", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}

    def command(self, name, *overrides):
        script = EXAMPLES / self.example.name / "train.py"
        return [sys.executable, str(script), "-m", f"sweep.name={name}", *self.example.quick, *overrides]

    def sweep(self, name, *overrides):
        """Do a sweep; returns what was printed and its runs by name."""
        done = subprocess.run(
            self.command(name, *overrides),
            cwd=self.path,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout, self.runs(name)

    def killed(self, name, *overrides, when):
        """Do a sweep, until `when` is true of its runs: then every process of it is killed."""
        with (self.path / "killed.log").open("w") as log:
            process = subprocess.Popen(
                self.command(name, *overrides), cwd=self.path, env=self.environment, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
            deadline = time.monotonic() + 300
            while process.poll() is None and time.monotonic() < deadline and not when(self.runs(name)):
                time.sleep(0.02)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        time.sleep(1)  # workers in sessions of their own see that they are alone

    def runs(self, name):
        sweep = self.path / "multirun" / name
        return {str(run.path.relative_to(sweep)): run for run in find_runs(sweep)} if sweep.is_dir() else {}

    def sweeps(self, *words):
        """`python -m sweeps`, with what it prints."""
        command = [sys.executable, "-m", "sweeps", *words]
        done = subprocess.run(command, cwd=self.path, env=self.environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def rows(run):
    """The metrics of a run without what the clock says."""
    return [{key: value for key, value in row.items() if key != "elapsed"} for row in run.read_metrics()]


def results(runs):
    """What must not depend on how often the runs were interrupted."""
    return {name: (run.read().status, run.read().objective.value, rows(run)) for name, run in runs.items()}


@pytest.fixture(scope="module", params=ALL, ids=lambda example: example.name)
def swept(request, tmp_path_factory):
    """A folder with a sweep of four runs, `grid`."""
    folder = Folder(tmp_path_factory.mktemp(request.param.name) / "elsewhere", request.param)
    folder.sweep("grid", *request.param.grid)
    return folder


@pytest.fixture(params=WITH_STEPS, ids=lambda example: example.name)
def stepping(request, tmp_path):
    """A folder for an example that reports steps."""
    return Folder(tmp_path, request.param)


def test_four_runs_are_done_once(swept):
    runs = swept.runs("grid")
    assert len(runs) == 4
    before = {name: run.record.read_bytes() for name, run in runs.items()}
    for run in runs.values():
        record = run.read()
        assert (record.status, record.attempts) == (Status.COMPLETED, 1), record.error
        assert isinstance(record.objective.value, float)
        assert record.objective.metric == swept.example.metric
        assert not run.checkpoint.exists()
        assert bool(rows(run)) == bool(swept.example.first)
    assert len({run.read().objective.value for run in runs.values()}) > 1
    printed, again = swept.sweep("grid", *swept.example.grid)
    assert {name: run.record.read_bytes() for name, run in again.items()} == before
    assert "4 already complete" in printed


def test_a_killed_sweep_ends_as_if_it_had_not_been(swept):
    def reported(count):
        if swept.example.first:
            return lambda runs: sum(len(run.read_metrics()) for run in runs.values()) >= count
        return lambda runs: sum(run.record.is_file() for run in runs.values()) >= count

    for count in (1, 3, 5) if swept.example.first else (1, 3):
        swept.killed("killed", *swept.example.grid, when=reported(count))
    _, runs = swept.sweep("killed", *swept.example.grid)
    assert results(runs) == results(swept.runs("grid"))
    if swept.example.first:  # else a run may be over before it is killed
        assert max(run.read().attempts for run in runs.values()) > 1


def test_tables_comparison_and_report_read_the_sweep(swept):
    table = swept.sweeps("summarize", "multirun/grid")
    assert (swept.example.metric or "objective") in table
    for key in swept.example.grid:
        assert key.partition("=")[0].rpartition(".")[2] in table
    first, second = sorted(swept.runs("grid"))[:2]
    assert "Not evidence" in swept.sweeps("summarize", "multirun/grid", "--compare", first, second)
    swept.sweeps("report", "multirun/grid")
    assert "<html" in (swept.path / "multirun/grid/report.html").read_text()


@pytest.mark.parametrize("pruner", ["halving", "asha", "median"])
def test_bad_runs_are_pruned(stepping, pruner):
    example = stepping.example
    if pruner == "median":
        options = (f"sweep.pruner.n_warmup_steps={example.first}", "sweep.pruner.n_startup_trials=1")
    else:
        options = (f"sweep.pruner.min_resource={example.first}", "sweep.pruner.reduction_factor=2")
    _, runs = stepping.sweep("pruned", *example.grid, f"sweep/pruner={pruner}", *options, HERE)
    records = [run.read() for run in runs.values()]
    assert {record.status for record in records} == {Status.COMPLETED, Status.PRUNED}
    pruned = [record for record in records if record.status is Status.PRUNED]
    assert all(record.steps < record.max_steps for record in pruned)
    if pruner == "halving":
        rungs = int(math.log2(records[0].max_steps / 2 / example.first)) + 1
        assert len(pruned) == 4 - max(1, 4 >> rungs)


def test_seeds_are_repeats_of_one_setting(swept):
    _, runs = swept.sweep("seeds", swept.example.grid[0], "sweep.repeats=2", HERE)
    records = [run.read() for run in runs.values()]
    assert sorted(record.seed for record in records) == [0, 0, 1, 1]
    assert len({record.setting_id for record in records}) == 2
    assert len({record.objective.value for record in records}) > 2
    assert "n" in swept.sweeps("summarize", "multirun/seeds")


def test_a_search_chooses_the_runs(swept):
    pytest.importorskip("optuna")
    options = ("hydra/sweeper=search", "hydra.sweeper.n_trials=3", "hydra.sweeper.sampler=random")
    _, runs = swept.sweep("search", swept.example.search, *options, HERE)
    assert len(runs) >= 2  # equal values are one run
    assert {run.read().status for run in runs.values()} == {Status.COMPLETED}


@pytest.mark.parametrize("example", ALL, ids=lambda example: example.name)
def test_without_a_sweep_the_script_is_what_it_was(example, tmp_path):
    folder = Folder(tmp_path, example)
    command = [sys.executable, str(EXAMPLES / example.name / "train.py"), *example.quick]
    done = subprocess.run(command, cwd=tmp_path, env=folder.environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["outputs"]
    assert not list(tmp_path.rglob("run.json"))


@pytest.mark.parametrize("example", ALL, ids=lambda example: example.name)
def test_an_example_fits_on_a_page(example):
    lines = (EXAMPLES / example.name / "train.py").read_text().splitlines()
    assert len(lines) < 60
