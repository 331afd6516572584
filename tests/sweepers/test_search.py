"""A search as it is typed: trials that are runs, repeats that resume, kills that leave nothing stuck."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hydra.core.plugins import Plugins

from sweeps.record.records import Status, find_runs

from .conftest import runs_by

pytest.importorskip("optuna")

SEARCH = ("-m", "sweep.name=study", "hydra/sweeper=search", "epochs=1")
HERE = "hydra.launcher.workers=0"
RATE = "lr=tag(log, interval(1e-3, 1))"


@pytest.fixture
def study(tmp_path):
    """The folder of the search."""
    return tmp_path / "multirun" / "study"


def states_in(folder):
    """How many trials the journal holds in each state."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend
    from optuna.study import load_study

    storage = JournalStorage(JournalFileBackend(str(folder / "study.journal")))
    try:
        study = load_study(study_name="search", storage=storage)
    except KeyError:  # the file is there, and nothing in it yet
        return []
    return [trial.state.name for trial in study.trials]


def test_a_search_runs_its_trials_and_a_larger_total_adds_some(application, study):
    done = application(*SEARCH, HERE, RATE, "hydra.sweeper.n_trials=1")
    assert "study: 1 trial, 0 already complete, 1 to do" in done.text
    assert "best of 1 trial: lr=" in done.text

    done = application(*SEARCH, HERE, RATE, "hydra.sweeper.n_trials=3")
    assert done.code == 0, done.text
    assert "best of 3 trials: lr=" in done.text
    first = {run.path.name: run.record.read_text() for run in find_runs(study)}
    assert len(first) == 3
    assert states_in(study) == ["COMPLETE"] * 3

    done = application(*SEARCH, HERE, RATE, "hydra.sweeper.n_trials=4", "sweep.retries=1", "sweep/pruner=none")
    assert done.code == 0, done.text
    after = {run.path.name: run.record.read_text() for run in find_runs(study)}
    assert len(after) == 4
    assert {name: after[name] for name in first} == first

    assert application(*SEARCH, HERE, RATE, "hydra.sweeper.n_trials=2").code == 1
    done = application(*SEARCH, HERE, "lr=interval(0.1, 1)", "hydra.sweeper.n_trials=5")
    assert "holds a search of another space (lr: float 0.001 to 1, log -> float 0.1 to 1)" in done.text


def test_trials_of_other_settings_are_not_ranked_with_those_before(application, study):
    (application.folder / "model").mkdir()
    for name, width in (("a", 1), ("b", 2)):
        (application.folder / "model" / f"{name}.yaml").write_text(f"width: {width}\n")
    search = (
        "-m",
        "sweep.name=study",
        "hydra/sweeper=search",
        HERE,
        RATE,
        "+model=a,b",
        "hydra.sweeper.sampler=random",
    )
    assert application(*search, "hydra.sweeper.n_trials=2").code == 0
    config = application.folder / "config.yaml"
    whole = config.read_text()
    config.write_text(whole.replace("epochs: 3", "epochs: 7"))
    done = application(*search, "hydra.sweeper.n_trials=3")
    assert done.code == 1
    assert "holds a search with other settings (epochs: 3 -> 7) and was left as it is; name another" in done.text
    config.write_text(f"# a comment\n{whole}")
    (application.folder / "model" / "b.yaml").write_text("width: 5\n")
    assert "(model.width where" in application(*search, "hydra.sweeper.n_trials=3").text
    (application.folder / "model" / "b.yaml").write_text("width: 2\n")
    done = application(*search, "hydra.sweeper.n_trials=3", "sweep.objective.report=best")
    assert '(sweep.objective.report: "last" -> "best")' in done.text
    assert application(*search, "hydra.sweeper.n_trials=3", "sweep.retries=1").code == 0
    assert states_in(study) == ["COMPLETE"] * 3


def test_the_number_that_a_run_recorded_can_be_minimised(application, study):
    objectives = "hydra.sweeper.objectives=[objective,size]"
    done = application(*SEARCH, HERE, "lr=0.1,0.2,0.5", "hydra.sweeper.sampler=grid", objectives)
    assert done.code == 0, done.text
    assert "of 3 trials none is better in all of loss, size:" in done.text
    assert "lr=0.1: loss 0.2, size 10" in done.text
    assert "lr=0.5: loss" not in done.text, "as good as 0.1, and larger"
    done = application(*SEARCH, HERE, "sweep.name=other", "lr=0.1,0.2", "hydra.sweeper.objectives=[sise]")
    assert done.code == 1
    assert "has no number sise; it has objective, peak_memory, seconds, size" in done.text


def test_a_key_can_be_searched_for_one_choice_alone(application, study):
    when = 'hydra.sweeper.when={fault:{other:{lr:"0.5,0.9"}}}'
    space = ("fault=none,other", when, "hydra.sweeper.sampler=random", "hydra.sweeper.n_trials=8")
    done = application(*SEARCH, HERE, *space)
    assert done.code == 0, done.text
    found = [run.read().overrides for run in find_runs(study)]
    with_rate = [one for one in found if any(override.startswith("lr=") for override in one)]
    assert 0 < len(with_rate) < len(found)
    assert all("fault=other" in one for one in with_rate)
    done = application(*SEARCH, HERE, "fault=none,other", "hydra.sweeper.when={fault:{x:{lr:'1,2'}}}")
    assert "fault is never x in this search; it is none, other" in done.text


def test_equal_trials_are_one_run(application, study):
    done = application(*SEARCH, HERE, "seed=0,1", "hydra.sweeper.sampler=random", "hydra.sweeper.n_trials=5")
    assert done.code == 0, done.text
    assert states_in(study) == ["COMPLETE"] * 5
    assert len(list(find_runs(study))) == 2


def test_a_trial_that_fails_stays_open_and_the_same_command_does_it_again(application, study):
    faulty = ("fault=none,diverge,exception", "hydra.sweeper.sampler=grid")
    done = application(*SEARCH, HERE, *faulty)
    assert done.code == 1, done.text
    assert "best of 2 trials: fault=none: loss 0.2" in done.text
    assert "error: 2 of 3 trials are complete, 1 failed; the run.json of each, in multirun/study" in done.text
    assert sorted(states_in(study)) == ["COMPLETE", "PRUNED", "RUNNING"]
    statuses = {fault: run.read().status for fault, run in runs_by(study, "fault").items()}
    assert statuses == {"none": Status.COMPLETED, "diverge": Status.DIVERGED, "exception": Status.FAILED}

    (application.folder / "mended").touch()
    done = application(*SEARCH, HERE, *faulty)
    assert done.code == 0, done.text
    assert sorted(states_in(study)) == ["COMPLETE", "COMPLETE", "PRUNED"]
    attempts = {fault: run.read().attempts for fault, run in runs_by(study, "fault").items()}
    assert attempts == {"none": 1, "diverge": 1, "exception": 2}


@pytest.mark.parametrize("launcher", [(HERE,), ("hydra/launcher=basic", "hydra.sweeper.batch_size=2")])
def test_what_always_fails_is_tried_once_a_command_however_often_it_is_drawn(application, study, launcher):
    faulty = ("fault=none,exception", "hydra.sweeper.sampler=random", "hydra.sweeper.n_trials=6")
    for command in (1, 2):
        done = application(*SEARCH, *launcher, *faulty)
        assert done.code == 1, done.text
        states = states_in(study)
        assert (len(states), set(states)) == (6, {"COMPLETE", "RUNNING"})
        assert states.count("RUNNING") > 1, "drawn several times"
        counts = f"{states.count('COMPLETE')} of 6 trials are complete, {states.count('RUNNING')} failed; the"
        assert counts in done.text
        assert runs_by(study, "fault")["exception"].read().attempts == command


@pytest.mark.parametrize(("policy", "tried"), [("sweep.on_failure=stop", 1), ("sweep.stop_after=2", 2)])
def test_a_policy_holds_for_the_whole_search_and_without_it_the_rest_is_done(application, study, policy, tried):
    command = (*SEARCH, HERE, "fault=exception", "lr=0.1,0.2,0.3,1", "hydra.sweeper.sampler=grid")
    done = application(*command, policy)
    assert done.code == 1
    assert f"0 of 4 trials are complete, {tried} failed, {4 - tried} were not started" in done.text
    assert len(list(find_runs(study))) == tried
    assert set(states_in(study)) == {"RUNNING"}, "nothing is made up for what was not done"
    (application.folder / "mended").touch()
    done = application(*command)
    assert done.code == 0, done.text
    assert states_in(study) == ["COMPLETE"] * 4


class InBatches:
    """The local launcher as a search sees that of Slurm: it takes jobs, and can check some before."""

    policy = None

    def __init__(self, launcher):
        self.launcher, self.checked = launcher, []

    def check(self, samples):
        self.checked += samples

    def launch(self, jobs, initial_job_idx):
        self.launcher.policy = self.policy
        return self.launcher.launch(jobs, initial_job_idx)


@pytest.fixture
def in_batches(monkeypatch):
    """Every launcher from now on."""
    launchers = []
    instantiate = Plugins.instantiate_launcher

    def wrapped(self, **options):
        launchers.append(InBatches(instantiate(self, **options)))
        return launchers[-1]

    monkeypatch.setattr(Plugins, "instantiate_launcher", wrapped)
    return launchers


def test_samples_are_checked_before_the_first_batch_and_an_invalid_trial_fails_alone(application, study, in_batches):
    command = (*SEARCH, HERE, "lr=0.1,-1,0.2", "hydra.sweeper.sampler=grid", "hydra.sweeper.batch_size=2")
    done = application(*command)
    assert len(in_batches[0].checked) == 3
    assert done.code == 1
    assert "lr=-1" in done.text
    assert "2 of 3 trials are complete, 1 failed" in done.text
    assert sorted(states_in(study)) == ["COMPLETE", "COMPLETE", "RUNNING"]


def test_what_a_stopped_batch_did_not_start_has_no_result(application, study, in_batches):
    command = (*SEARCH, HERE, "fault=exception", "lr=0.1,0.2,0.3,1", "hydra.sweeper.sampler=grid")
    command = (*command, "hydra.sweeper.batch_size=3")
    done = application(*command, "sweep.on_failure=stop")
    assert "0 of 4 trials are complete, 1 failed, 3 were not started" in done.text
    assert states_in(study) == ["RUNNING"] * 3
    assert sorted(run.read().status.value for run in find_runs(study)) == ["failed", "pending", "pending"]
    (application.folder / "mended").touch()
    done = application(*command)
    assert done.code == 0, done.text
    assert states_in(study) == ["COMPLETE"] * 4


def test_a_search_can_prune(application, study):
    within = ("sweep/pruner=asha", "epochs=9", "hydra.sweeper.sampler=grid", "lr=0.31,0.5,0.6,0.7")
    done = application(*SEARCH, HERE, *within, "hydra.sweeper.seed=1")
    assert done.code == 0, done.text
    assert set(states_in(study)) == {"COMPLETE", "PRUNED"}
    assert any('"intermediate_value"' in line for line in (study / "study.journal").read_text().splitlines())


def test_other_launchers_get_trials_in_batches(application, study):
    batches = ("hydra/launcher=basic", "hydra.sweeper.batch_size=2", "hydra.sweeper.n_trials=3")
    done = application(*SEARCH, RATE, *batches)
    assert done.code == 0, done.text
    assert states_in(study) == ["COMPLETE"] * 3
    assert len(list(find_runs(study))) == 3


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["seed=0"], "hydra/sweeper=search has nothing to search"),
        (["lr=interval(1, 0.1)"], "lr=interval(1, 0.1) is reversed"),
        (["lr=0.1,0.2", "sweep.repeats=3"], "sweep.repeats is invalid with hydra/sweeper=search"),
        (["lr=0.1,0.2", "sweep.plan=true"], "sweep.plan=true is invalid with hydra/sweeper=search"),
        (["lr=0.1,0.2", "sweep/pruner=halving"], "sweep/pruner=halving, sweep.pause_at and"),
        (["lr=0.1,0.2", "sweep/pruner=asha", "sweep.pruner.resume_pruned=true"], "sweep/pruner=halving, sweep.pause_"),
        (["lr=0.1,0.2", "sweep.pause_at=1"], "sweep/pruner=halving, sweep.pause_at and"),
        (["lr=0.1,0.2", "sweep/pruner=asha,median"], "sweep/pruner is invalid with values to search"),
        (["lr=0.1,0.2", "sweep.objective.direction=null"], "set sweep.objective.direction=min or max"),
        (["lr=0.1,0.2", "hydra.sweeper.batch_size=0"], "hydra.sweeper.batch_size=0 is invalid"),
        (["lr=0.1,-1"], "lr=-1 is invalid: it must be positive"),
    ],
)
def test_what_cannot_be_searched_is_invalid_before_the_first_run(application, study, arguments, says):
    done = application(*SEARCH, HERE, *arguments)
    assert done.code == 1
    assert says in done.text
    assert list(find_runs(study.parent.parent)) == []


@pytest.mark.slow
def test_killed_again_and_again_it_ends_with_its_trials_and_none_stuck(application, study):
    search = ("hydra.launcher.workers=2", RATE, "hydra.sweeper.n_trials=4", "hydra.sweeper.sampler=random", "pause=0.3")
    command = [sys.executable, str(application.script), *SEARCH, *search]
    for finished in range(2):
        process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 120
            while sum(run.read().status is Status.COMPLETED for run in find_runs_if_any(study)) <= finished:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert subprocess.run(command, check=False).returncode == 0
    assert states_in(study) == ["COMPLETE"] * 4
    assert [run.read().status for run in find_runs(study)] == [Status.COMPLETED] * 4


@pytest.mark.slow
def test_a_worker_that_is_killed_before_its_run_has_a_record_costs_no_trial(application, study):
    search = ("hydra.launcher.workers=1", RATE, "hydra.sweeper.n_trials=3", "hydra.sweeper.sampler=random")
    command = [sys.executable, str(application.script), *SEARCH, *search]
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 120
        while not ((study / "study.journal").exists() and states_in(study)):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        for worker in workers_of(process.pid):
            os.kill(worker, signal.SIGKILL)
        text = process.communicate(timeout=120)[0].decode()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 1, text
    assert "2 of 3 trials are complete, 1 failed" in text
    assert subprocess.run(command, check=False).returncode == 0
    assert states_in(study) == ["COMPLETE"] * 3
    assert len(list(find_runs(study))) == 3


def workers_of(parent):
    """The worker processes of a command."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            ours = int(status.read_text().rpartition(")")[2].split()[1]) == parent
            if ours and b"spawn_main" in status.with_name("cmdline").read_bytes():
                found.append(int(status.parent.name))
    return found


def find_runs_if_any(folder):
    return find_runs(folder) if folder.is_dir() else []
