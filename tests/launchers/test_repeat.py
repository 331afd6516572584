"""The same command again does what is left: what is finished is recognised, what is new is added, nothing moves."""

import json
import math
import os
import shutil

import pytest

from sweeps.launchers import job
from sweeps.launchers.job import JobSetup
from sweeps.launchers.local import launch as local
from sweeps.record.processes import Process, start_of
from sweeps.record.records import Status, find_runs
from sweeps.vision.config import conf_dir

from .conftest import SMALL, contents, runs_by, untimed

TINY = (*SMALL, "dataset.limit=50", "trainer.epochs=1")  # of equal keys the last one counts
SWEEP = ("-m", "sweep.name=study", "hydra.launcher.workers=0", *TINY)
COLLAPSE = "1e38"  # a learning rate that no network survives


@pytest.fixture
def study(tmp_path):
    """The folder of the sweep."""
    return tmp_path / "multirun" / "study"


@pytest.fixture
def work(monkeypatch):
    """What was done since it was last cleared: how often a config was composed, a run inspected, a job run."""
    done = {"composed": 0, "inspected": 0, "run": []}
    compose, inspect, run = JobSetup.compose, job.inspect_run, JobSetup.run

    def counting_compose(self, *arguments, **options):
        done["composed"] += 1
        return compose(self, *arguments, **options)

    def counting_inspect(*arguments):
        done["inspected"] += 1
        return inspect(*arguments)

    def counting_run(self, overrides, number, composed=b"", folder=None):
        done["run"].append([override for override in overrides if override.startswith(("seed", "optim", "+model"))])
        return run(self, overrides, number, composed, folder)

    monkeypatch.setattr(JobSetup, "compose", counting_compose)
    monkeypatch.setattr(job, "inspect_run", counting_inspect)
    monkeypatch.setattr(JobSetup, "run", counting_run)
    return done


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """Where sweeps are kept that several tests begin with."""
    return tmp_path_factory.mktemp("shelf")


@pytest.fixture
def begun(sweeps, study, shelf):
    """The sweep of `seed=0,1`, finished; gives everything in its folder."""
    if not (shelf / "begun").exists():
        assert sweeps(*SWEEP, "seed=0,1").code == 0
        shutil.copytree(study, shelf / "begun")
    else:
        shutil.copytree(shelf / "begun", study)
    return contents(study)


def forget(work):
    work.update(composed=0, inspected=0, run=[])


def test_complete_runs_are_skipped_without_composing_them(sweeps, study, begun, work):
    done = sweeps(*SWEEP, "seed=0,1")
    assert done.code == 0
    assert work == {"composed": 0, "inspected": 0, "run": []}
    assert "study: 2 runs, 2 already complete, skipped, 0 to do" in done.text
    assert contents(study) == begun, "nothing moved and nothing was written again"


def test_a_repeat_of_nothing_starts_no_process(shell, study):
    command = ("-m", "sweep.name=study", "seed=0", "hydra.launcher.workers=1", *TINY)
    assert shell(*command).code == 0
    before = contents(study)
    started, seen = shell.start(*command), set()
    while started.process.poll() is None:
        seen.update(started.workers)
    assert (started.end().code, seen) == (0, set())
    assert contents(study) == before


def test_results_of_a_repeat_are_those_of_the_first_time(sweeps, study, monkeypatch):
    results, real = [], local.launch

    def remembering(*arguments):
        results.append(real(*arguments))
        return results[-1]

    monkeypatch.setattr(local, "launch", remembering)
    for _ in range(2):
        assert sweeps(*SWEEP, f"optim.lr=0.1,{COLLAPSE}", "seed=0").code == 0
    first, second = ([job.return_value for job in jobs] for jobs in results)
    assert first[0] == second[0] == runs_by(study, "optim.lr")[0.1].read().objective.value
    assert math.isnan(first[1])
    assert math.isnan(second[1])


def test_new_runs_are_added_and_old_ones_stay(sweeps, study, begun, work):
    done = sweeps(*SWEEP, "seed=2,1,0")  # another order, too
    assert done.code == 0
    assert (work["inspected"], work["run"]) == (1, [["seed=2"]])
    assert "3 runs, 2 already complete, skipped, 1 to do" in done.text
    after = contents(study)
    assert {name: after[name] for name in begun} == begun
    assert len(list(find_runs(study))) == 3


def test_a_smaller_grid_leaves_the_other_runs_alone(sweeps, study, begun):
    assert sweeps(*SWEEP, "seed=1").code == 0
    assert contents(study) == begun


def test_a_run_of_a_sweep_is_known_to_a_single_run_as_well(sweeps, study, begun):
    done = sweeps("sweep.name=study", *TINY, "seed=1")
    assert done.code == 0
    assert "already complete, skipped" in done.text
    assert contents(study) == begun


def test_a_changed_file_of_the_configuration_makes_runs_be_looked_at_again(
    sweeps, study, begun, work, monkeypatch, tmp_path
):
    conf = tmp_path / "conf"
    shutil.copytree(conf_dir(), conf)
    monkeypatch.setattr("sweeps.vision.app.conf_dir", lambda: conf)
    before = {name: state for name, state in contents(study).items() if not name.endswith("run.json")}
    with (conf / "optim" / "adam.yaml").open("a") as file:
        file.write("# a comment, of another optimizer\n")
    done = sweeps(*SWEEP, "seed=0,1")
    assert (done.code, work["inspected"], work["run"]) == (0, 2, []), "the settings are the same"
    assert {name: state for name, state in contents(study).items() if not name.endswith("run.json")} == before
    forget(work)
    sweeps(*SWEEP, "seed=0,1")
    assert work["inspected"] == 0, "and are known now"


@pytest.mark.parametrize(
    ("swept", "note"),
    [
        ("optim.lr=0.1,0.2,0.10", "optim.lr=0.1: duplicate, runs once"),
        ("optim.lr=1,1.0,2", "optim.lr=1.0: duplicate of optim.lr=1, runs once"),
    ],
)
def test_runs_with_the_same_settings_are_merged_and_named(sweeps, study, work, swept, note):
    done = sweeps(*SWEEP, swept)
    runs = swept.count(",") + 1
    assert done.code == 0
    assert note in done.text
    different = len({float(value) for value in swept.partition("=")[2].split(",")})
    assert f"{runs} runs, {different} to do" in done.text
    assert len(work["run"]) == different == len(list(find_runs(study)))
    before = contents(study)
    assert sweeps(*SWEEP, swept).code == 0
    assert contents(study) == before


def test_a_merged_run_has_the_result_of_the_one_that_was_done(sweeps, begun, monkeypatch):
    results, real = [], local.launch
    monkeypatch.setattr(local, "launch", lambda *arguments: results.extend(real(*arguments)) or results)
    sweeps(*SWEEP, "seed=0,1,0,00")
    assert len(results) == 4
    assert results[0].return_value == results[2].return_value == results[3].return_value


def test_runs_of_another_meaning_of_the_code_are_not_skipped(sweeps, study, begun, work, monkeypatch):
    monkeypatch.setattr("sweeps.record.identity.RESULT_VERSION", 1_000_000)
    done = sweeps(*SWEEP, "seed=0,1")
    assert (done.code, work["run"]) == (1, [])
    assert "the settings are the same, but the release gives them another meaning" in done.text
    assert contents(study) == begun


def test_how_a_sweep_is_done_makes_no_run_unknown(sweeps, study, begun, work):
    for how in (
        "sweep.retries=2",
        "sweep.on_failure=stop",
        "sweep.stop_after=3",
        "sweep.on_mismatch=keep",
        "sweep.plan=true",
    ):
        assert sweeps(*SWEEP, "seed=0,1", how).code == 0
        assert work == {"composed": 0, "inspected": 0, "run": []}, how
        assert contents(study) == begun, how


@pytest.fixture
def foreign(study, begun):
    """A finished run whose folder another run wants: its settings came from a file that has changed since."""
    run = runs_by(study, "seed")[1]
    record = run.read()
    record.config["trainer"]["batch_size"] = 20
    record.run_id, record.composition = "0123456789ab", "0123456789abcdef"
    run.write(record)
    return run


def test_another_runs_folder_is_refused_with_the_difference_and_the_way_out(sweeps, study, foreign, work):
    before = contents(study)
    done = sweeps(*SWEEP, "seed=0,1,2")
    assert done.code == 1
    assert "holds a run with other settings (trainer.batch_size: 20 -> 25) and was left as it is" in done.text
    for way_out in ("sweep.name=NAME", "sweep.on_mismatch=rerun", "sweep.on_mismatch=keep", "No run was started"):
        assert way_out in done.text
    assert work["run"] == []
    assert contents(study) == before


def test_another_run_can_be_kept(sweeps, study, foreign, work):
    before = contents(study)
    done = sweeps(*SWEEP, "seed=0,1,2", "sweep.on_mismatch=keep")
    assert (done.code, work["run"]) == (0, [["seed=2"]])
    after = contents(study)
    assert {name: after[name] for name in before} == before


def test_another_run_can_be_replaced(sweeps, study, foreign, work):
    done = sweeps(*SWEEP, "seed=0,1,2", "sweep.on_mismatch=rerun")
    assert (done.code, work["run"]) == (0, [["seed=1"], ["seed=2"]])
    record = runs_by(study, "seed")[1].read()
    assert (record.status, record.attempts, record.config["trainer"]["batch_size"]) == (Status.COMPLETED, 1, 25)


@pytest.mark.parametrize("arguments", [("sweep.plan=true",), ("+model.nonsense=1",)], ids=["only planned", "refused"])
def test_another_run_is_not_deleted_before_the_sweep_begins(sweeps, study, foreign, work, arguments):
    before = contents(foreign.path)
    sweeps(*SWEEP, "seed=0,1", "sweep.on_mismatch=rerun", *arguments)
    assert contents(foreign.path) == before


def test_a_run_that_somebody_else_is_at_work_on_is_left_to_him(sweeps, study, begun, work):
    run = runs_by(study, "seed")[1]
    record = run.read()
    record.status = Status.RUNNING
    record.process = Process(record.process.host, os.getppid(), start_of(os.getppid()))
    run.write(record)
    before = contents(study)
    done = sweeps(*SWEEP, "seed=0,1,2")
    assert (done.code, work["run"]) == (1, [])
    assert f"is being run by process {os.getppid()} on" in done.text
    assert contents(study) == before


# The first and the second of four runs fail.
FAULTY = ("model._target_=networks.faulty", "+model.fault=exception,none")


@pytest.mark.parametrize(("policy", "done_first"), [("sweep.on_failure=stop", 1), ("sweep.stop_after=2", 2)])
def test_a_sweep_can_stop_after_failures_and_be_resumed(sweeps, study, work, monkeypatch, tmp_path, policy, done_first):
    done = sweeps(*SWEEP, *FAULTY, "seed=0,1", policy)
    assert (done.code, len(work["run"])) == (1, done_first)
    assert "enough failures: stopping" in done.text
    assert f"error: {done_first} of 4 runs failed and {4 - done_first} were not started" in done.text
    statuses = sorted(str(run.read().status) for run in find_runs(study))
    assert statuses == ["failed"] * done_first + ["pending"] * (4 - done_first)
    forget(work)

    monkeypatch.setenv("FAULTS_ONCE", str(tmp_path))
    (tmp_path / "exception").touch()
    done = sweeps(*SWEEP, *FAULTY, "seed=0,1", policy)
    assert (done.code, len(work["run"])) == (0, 4)
    assert {run.read().status for run in find_runs(study)} == {Status.COMPLETED}


def test_without_a_policy_every_run_is_done(sweeps, work):
    done = sweeps(*SWEEP, *FAULTY, "seed=0,1")
    assert (done.code, len(work["run"])) == (1, 4)
    assert "error: 2 of 4 runs failed; the run.json of each" in done.text


def test_retries_happen_here_too(sweeps, study, work, monkeypatch, tmp_path):
    monkeypatch.setenv("FAULTS_ONCE", str(tmp_path))
    done = sweeps(*SWEEP, *FAULTY, "+model.after=3", "sweep.retries=2", "seed=0", "trainer.epochs=2")
    assert done.code == 0
    faults = [overrides[0].partition("=")[2] for overrides in work["run"]]
    assert faults == ["exception", "none", "exception"], "after a pause, in which others are done"
    runs = runs_by(study, "model.fault")
    assert runs["exception"].read().attempts == 2
    assert untimed(runs["exception"]) == untimed(runs["none"])


def test_in_batches_the_result_is_the_same(sweeps, study, begun, work):
    batches = "hydra.sweeper.max_batch_size=2"
    done = sweeps(*SWEEP, "seed=2,0,1,3", batches)
    assert (done.code, work["run"]) == (0, [["seed=2"], ["seed=3"]])
    assert {run.read().status for run in find_runs(study)} == {Status.COMPLETED}
    after = contents(study)
    assert {name: after[name] for name in begun} == begun
    forget(work)
    assert sweeps(*SWEEP, "seed=0,1,2,3").code == 0
    assert (work["composed"], contents(study)) == (0, after)


def test_a_thousand_complete_runs_are_recognised_without_composing_one(sweeps, study, begun, work, monkeypatch):
    grid = f"seed={','.join(map(str, range(1000)))}"
    multiply(runs_by(study, "seed")[0], lambda: sweeps(*SWEEP, grid, "sweep.plan=true"), monkeypatch)
    before = contents(study)
    assert len(list(find_runs(study))) == 1000
    forget(work)
    done = sweeps(*SWEEP, grid)
    assert done.code == 0
    assert "1,000 runs, 1,000 already complete, skipped, 0 to do" in done.text
    assert work == {"composed": 0, "inspected": 0, "run": []}
    assert contents(study) == before


def multiply(run, launch, monkeypatch):
    """Copy a finished run's record for every run that `launch` launches, with the hash that it will be known by."""
    record = json.loads(run.record.read_text())

    def write(runs, composition, *rest, **options):
        for run in runs:
            name = run.folder.path.name
            copy = record | {
                "name": name,
                "run_id": f"{run.number:012x}",
                "overrides": run.overrides,
                "composition": composition.of(run.overrides),
            }
            run.folder.path.mkdir(exist_ok=True)
            run.folder.record.write_text(json.dumps(copy))
        return []

    with monkeypatch.context() as patched:
        patched.setattr(local, "prepare", write)
        launch()
