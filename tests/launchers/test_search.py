"""A search as it is typed: trials that are runs, repeats that go on, kills that leave nothing stuck."""

import json
import os
import signal
import time

import pytest
from hydra.core.plugins import Plugins

from sweeps.record.records import Status, find_runs

from .conftest import SMALL, runs_by

pytest.importorskip("optuna")

TINY = (*SMALL, "dataset.limit=50", "trainer.epochs=1")
SEARCH = ("-m", "sweep.name=study", "hydra/sweeper=search", *TINY)
HERE = "hydra.launcher.workers=0"
RATE = "optim.lr=tag(log, interval(1e-3, 1))"


@pytest.fixture
def study(tmp_path):
    """The folder of the search."""
    return tmp_path / "multirun" / "study"


def states_in(folder):
    """How many trials the journal holds in each state."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend
    from optuna.study import load_study

    study = load_study(study_name="search", storage=JournalStorage(JournalFileBackend(str(folder / "study.journal"))))
    return [trial.state.name for trial in study.trials]


def test_a_search_runs_its_trials_and_a_larger_total_goes_on(sweeps, study):
    done = sweeps(*SEARCH, HERE, RATE, "hydra.sweeper.n_trials=3")
    assert done.code == 0, done.text
    assert "study: 3 trials, 0 finished before, 3 to do" in done.text
    assert "best of 3 trials: optim.lr=" in done.text
    first = {run.path.name: run.record.read_text() for run in find_runs(study)}
    assert len(first) == 3
    assert states_in(study) == ["COMPLETE"] * 3

    done = sweeps(*SEARCH, HERE, RATE, "hydra.sweeper.n_trials=4")
    assert "study: 4 trials, 3 finished before, 1 to do" in done.text
    after = {run.path.name: run.record.read_text() for run in find_runs(study)}
    assert len(after) == 4
    assert {name: after[name] for name in first} == first

    assert sweeps(*SEARCH, HERE, RATE, "hydra.sweeper.n_trials=2").code == 1
    done = sweeps(*SEARCH, HERE, "optim.lr=interval(0.1, 1)", "hydra.sweeper.n_trials=5")
    assert "holds a search of another space (optim.lr: float 0.001 to 1, log -> float 0.1 to 1)" in done.text


def test_a_key_can_be_searched_for_one_choice_alone(sweeps, study):
    when = 'hydra.sweeper.when={optim:{sgd:{optim.momentum:"0.5,0.9"}}}'
    space = ("optim=sgd,adam", when, "hydra.sweeper.sampler=random", "hydra.sweeper.n_trials=8")
    done = sweeps(*SEARCH, HERE, *space)
    assert done.code == 0, done.text
    found = [run.read().overrides for run in find_runs(study)]
    with_momentum = [one for one in found if any("optim.momentum" in override for override in one)]
    assert with_momentum
    assert len(with_momentum) < len(found)
    assert all("optim=sgd" in one for one in with_momentum), "adam has none"
    done = sweeps(*SEARCH, HERE, "optim=sgd,adam", "hydra.sweeper.when={optim:{adamw:{optim.lr:'1,2'}}}")
    assert "optim is never adamw in this search; it is sgd, adam" in done.text


def test_equal_trials_are_one_run(sweeps, study):
    done = sweeps(*SEARCH, HERE, "seed=0,1", "hydra.sweeper.sampler=random", "hydra.sweeper.n_trials=5")
    assert done.code == 0, done.text
    assert states_in(study) == ["COMPLETE"] * 5
    assert len(list(find_runs(study))) == 2


def test_a_trial_that_fails_stays_open_and_the_same_command_does_it_again(sweeps, study, tmp_path, monkeypatch):
    marks = tmp_path / "marks"
    marks.mkdir()
    monkeypatch.setenv("FAULTS_ONCE", str(marks))
    faulty = ("model._target_=networks.faulty", "+model.fault=none,diverge,exception", "hydra.sweeper.sampler=grid")
    done = sweeps(*SEARCH, HERE, *faulty)
    assert done.code == 1, done.text
    assert "best of 2 trials: +model.fault=none: test_acc" in done.text
    assert "error: 2 of 3 trials are complete, 1 failed; the run.json of each, in multirun/study" in done.text
    assert sorted(states_in(study)) == ["COMPLETE", "PRUNED", "RUNNING"]
    statuses = {fault: run.read().status for fault, run in runs_by(study, "model.fault").items()}
    assert statuses == {"none": Status.COMPLETED, "diverge": Status.DIVERGED, "exception": Status.FAILED}

    done = sweeps(*SEARCH, HERE, *faulty)
    assert done.code == 0, done.text
    assert "study: 3 trials, 2 finished before, 1 to do" in done.text
    assert sorted(states_in(study)) == ["COMPLETE", "COMPLETE", "PRUNED"]
    attempts = {fault: run.read().attempts for fault, run in runs_by(study, "model.fault").items()}
    assert attempts == {"none": 1, "diverge": 1, "exception": 2}


@pytest.mark.parametrize("launcher", [(HERE,), ("hydra/launcher=basic", "hydra.sweeper.batch_size=2")])
def test_what_always_fails_is_tried_once_a_command_however_often_it_is_drawn(sweeps, study, launcher):
    faulty = ("model._target_=networks.faulty", "+model.fault=none,exception", "hydra.sweeper.sampler=random")
    for command in (1, 2):
        done = sweeps(*SEARCH, *launcher, *faulty, "hydra.sweeper.n_trials=6")
        assert done.code == 1, done.text
        states = states_in(study)
        assert (len(states), set(states)) == (6, {"COMPLETE", "RUNNING"})
        assert states.count("RUNNING") > 1, "drawn several times"
        assert (
            f"{states.count('COMPLETE')} of 6 trials are complete, {states.count('RUNNING')} failed; the" in done.text
        )
        assert runs_by(study, "model.fault")["exception"].read().attempts == command


@pytest.mark.parametrize(("policy", "tried"), [("sweep.on_failure=stop", 1), ("sweep.stop_after=2", 2)])
def test_a_policy_holds_for_the_whole_search_and_without_it_the_rest_is_done(
    sweeps, study, tmp_path, monkeypatch, policy, tried
):
    command = (*SEARCH, HERE, "model._target_=networks.faulty", "+model.fault=exception", "optim.lr=0.1,0.2,0.3,1")
    command = (*command, "hydra.sweeper.sampler=grid")
    done = sweeps(*command, policy)
    assert done.code == 1
    assert f"0 of 4 trials are complete, {tried} failed, {4 - tried} were not done" in done.text
    assert len(list(find_runs(study))) == tried
    assert set(states_in(study)) == {"RUNNING"}, "nothing is made up for what was not done"
    (tmp_path / "exception").touch()
    monkeypatch.setenv("FAULTS_ONCE", str(tmp_path))  # the cause is removed
    done = sweeps(*command)
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


def test_samples_are_checked_before_the_first_batch_and_an_invalid_trial_fails_alone(sweeps, study, in_batches):
    command = (*SEARCH, HERE, "optim.lr=0.1,-1,0.2", "hydra.sweeper.sampler=grid", "hydra.sweeper.batch_size=2")
    done = sweeps(*command)
    assert len(in_batches[0].checked) == 3
    assert done.code == 1
    assert "optim.lr=-1: failed: optim.lr=-1 is refused" in done.text
    assert "2 of 3 trials are complete, 1 failed" in done.text
    assert sorted(states_in(study)) == ["COMPLETE", "COMPLETE", "RUNNING"]


def test_what_a_stopped_batch_did_not_come_to_is_not_told(sweeps, study, tmp_path, monkeypatch, in_batches):
    command = (*SEARCH, HERE, "model._target_=networks.faulty", "+model.fault=exception", "optim.lr=0.1,0.2,0.3,1")
    command = (*command, "hydra.sweeper.sampler=grid", "hydra.sweeper.batch_size=3")
    done = sweeps(*command, "sweep.on_failure=stop")
    assert "0 of 4 trials are complete, 1 failed, 3 were not done" in done.text
    assert states_in(study) == ["RUNNING"] * 3
    assert sorted(run.read().status.value for run in find_runs(study)) == ["failed", "pending", "pending"]
    (tmp_path / "exception").touch()
    monkeypatch.setenv("FAULTS_ONCE", str(tmp_path))  # the cause is removed
    done = sweeps(*command)
    assert done.code == 0, done.text
    assert states_in(study) == ["COMPLETE"] * 4


def test_a_search_can_prune(sweeps, study):
    within = (
        "sweep/pruner=asha",
        "trainer.report_every=0.5",
        "sweep.pruner.min_resource=0.5",
        "dataset.limit=200",
        "trainer.epochs=2",
    )
    done = sweeps(*SEARCH, HERE, *within, "optim.lr=0.1,0.0000001", "hydra.sweeper.sampler=grid")
    assert done.code == 0, done.text
    assert set(states_in(study)) <= {"COMPLETE", "PRUNED"}
    assert "COMPLETE" in states_in(study)


def test_other_launchers_get_trials_in_batches(sweeps, study):
    batches = ("hydra/launcher=basic", "hydra.sweeper.batch_size=2", "hydra.sweeper.n_trials=3")
    done = sweeps(*SEARCH, RATE, *batches)
    assert done.code == 0, done.text
    assert states_in(study) == ["COMPLETE"] * 3
    assert len(list(find_runs(study))) == 3


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["seed=0"], "hydra/sweeper=search has nothing to search"),
        (["optim.lr=interval(1, 0.1)"], "optim.lr=interval(1, 0.1) is reversed"),
        (["optim.lr=0.1,0.2", "sweep.repeats=3"], "repeats is refused with hydra/sweeper=search"),
        (["optim.lr=0.1,0.2", "sweep.plan=true"], "sweep.plan=true is refused with hydra/sweeper=search"),
        (
            ["optim.lr=0.1,0.2", "sweep/pruner=halving"],
            "sweep/pruner=halving, pruner.budget and pruner.extend are refused",
        ),
        (["optim.lr=0.1,0.2", "hydra.sweeper.batch_size=0"], "hydra.sweeper.batch_size=0 is refused"),
        (["optim.lr=0.1,-1"], "optim.lr=-1 is refused: a learning rate is a number above 0"),
    ],
)
def test_what_cannot_be_searched_is_refused_before_the_first_run(sweeps, study, arguments, says):
    done = sweeps(*SEARCH, HERE, *arguments)
    assert done.code == 1
    assert says in done.text
    assert list(find_runs(study.parent.parent)) == []


@pytest.mark.slow
def test_killed_again_and_again_it_ends_with_its_trials_and_none_stuck(shell):
    study = shell.folder / "multirun" / "study"
    command = (*SEARCH, "hydra.launcher.workers=2", RATE, "hydra.sweeper.n_trials=4", "hydra.sweeper.sampler=random")

    def finished():
        return sum(json.loads(run.record.read_text())["status"] == "completed" for run in find_runs(study))

    for kill in range(2):
        started = shell.start(*command)
        started.wait_for(lambda: (study / "study.journal").exists() and any(find_runs(study)), "the first trial")
        started.wait_for(lambda least=kill: finished() >= least, "some trials")
        time.sleep(0.1)
        started.send(signal.SIGKILL)
        started.end()
    done = shell(*command)
    assert done.code == 0, done.text
    assert states_in(study) == ["COMPLETE"] * 4
    assert {run.read().status for run in find_runs(study)} == {Status.COMPLETED}
    assert len(list(find_runs(study))) == 4


@pytest.mark.slow
def test_a_worker_that_is_killed_before_its_run_has_a_record_costs_no_trial(shell):
    study = shell.folder / "multirun" / "study"
    command = (*SEARCH, "hydra.launcher.workers=1", RATE, "hydra.sweeper.n_trials=3", "hydra.sweeper.sampler=random")
    started = shell.start(*command)
    ready = started.wait_for(lambda: (study / "study.journal").exists() and started.workers, "a worker")
    started.wait_for(lambda: states_in(study), "the first trial")
    for pid in ready:
        os.kill(pid, signal.SIGKILL)
    done = started.end()
    assert done.code == 1, done.text
    assert "2 of 3 trials are complete, 1 failed" in done.text
    done = shell(*command)
    assert done.code == 0, done.text
    assert "3 trials, 2 finished before, 1 to do" in done.text
    assert states_in(study) == ["COMPLETE"] * 3
    assert len(list(find_runs(study))) == 3
