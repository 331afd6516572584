"""A sweep of several launches: its policy and its checks hold for all of them together."""

import json

import pytest
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from sweeps.record.records import Status, find_runs
from sweeps.sweepers.launches import Launches

from .conftest import SMALL, runs_by

TINY = (*SMALL, "dataset.limit=50", "trainer.epochs=1")
SWEEP = ("-m", "sweep=study", *TINY, "model._target_=networks.faulty")
HERE, BASIC = "hydra.launcher.workers=0", "hydra/launcher=basic"


@pytest.fixture
def study(tmp_path):
    """The folder of the sweep."""
    return tmp_path / "multirun" / "study"


class Launcher:
    """Not one of ours: takes jobs, gives results; the jobs in `bad` fail."""

    def __init__(self, bad=()):
        self.bad, self.calls = bad, []

    def launch(self, jobs, initial_job_idx):
        self.calls.append((initial_job_idx, [job[0] for job in jobs]))
        return [self.do(job) for job in jobs]

    def do(self, job):
        status, value = (JobStatus.FAILED, ValueError()) if job[0] in self.bad else (JobStatus.COMPLETED, 0.5)
        return JobReturn(overrides=list(job), status=status, _return_value=value)


def jobs(names):
    return [[name] for name in names]


def launches(launcher, size=None, **policy):
    return Launches(launcher, OmegaConf.create(policy), size)


def returned(launcher_results):
    return [type(result._return_value).__name__ for result in launcher_results]


def test_a_job_that_failed_is_not_given_to_a_launcher_again_and_the_others_keep_their_numbers():
    launcher = Launcher(bad="c")
    sweep = launches(launcher, 2)
    assert returned(sweep.launch(jobs("abcde"))) == ["float", "float", "ValueError", "float", "float"]
    assert returned(sweep.launch(jobs("abcde"))) == ["float", "float", "ValueError", "float", "float"]
    assert launcher.calls == [(0, ["a", "b"]), (2, ["c", "d"]), (4, ["e"]), (0, ["a", "b"]), (3, ["d", "e"])]


def test_one_of_ours_gets_all_jobs_at_once_with_the_policy_of_the_sweep():
    launcher = Launcher(bad="ab")
    launcher.policy = None
    sweep = launches(launcher, 1, stop_after=3)
    sweep.launch(jobs("abc"))
    assert launcher.calls == [(0, ["a", "b", "c"])]
    assert launcher.policy.at_a_time == 1
    assert not launcher.policy.is_enough(0)
    assert launcher.policy.is_enough(1), "with the two of the first launch"
    assert set(launcher.policy.failed) == {0, 1}


@pytest.mark.parametrize(("policy", "failed", "done"), [("on_failure=stop", 1, 0), ("stop_after=2", 2, 1)])
def test_a_policy_holds_across_batches(sweeps, study, policy, failed, done):
    cells = ("zip=[+model.fault,seed]", "+model.fault=exception,none,exception,none", "seed=0,1,2,3")
    ended = sweeps(*SWEEP, HERE, policy, *cells, "hydra.sweeper.max_batch_size=1")
    assert ended.code == 1
    left = 4 - failed - done
    assert f"error: {failed} of 4 runs failed and {left} were not done" in ended.text
    statuses = [run.read().status for run in find_runs(study)]
    assert statuses.count(Status.FAILED) == failed
    assert statuses.count(Status.COMPLETED) == done


def test_all_cells_are_checked_before_the_first_batch(sweeps, tmp_path):
    ended = sweeps(*SWEEP[:-1], HERE, "optim.lr=0.1,0.2,0.3,-1", "hydra.sweeper.max_batch_size=3")
    assert ended.code == 1
    assert "optim.lr=-1" in ended.text
    assert "No run was started" in ended.text
    assert list(tmp_path.iterdir()) == []


def test_so_many_runs_at_a_time_are_at_most_so_many_workers(sweeps, study):
    ended = sweeps(*SWEEP[:-1], "hydra.launcher.workers=null", "seed=0,1", "hydra.sweeper.max_batch_size=1")
    assert ended.code == 0, ended.text
    (invocation,) = json.loads((study / "sweep.json").read_text())["invocations"]
    assert len(invocation["slots"]) == 1
    ended = sweeps(*SWEEP[:-1], HERE, "seed=0,1", "hydra.sweeper.max_batch_size=0")
    assert "hydra.sweeper.max_batch_size=0 is invalid: at least 1, or null" in ended.text


@pytest.mark.parametrize("launcher", [HERE, BASIC])
def test_a_run_that_fails_in_a_round_of_halving_is_not_tried_again_in_the_next(sweeps, study, launcher):
    halving = ("pruner=halving", "trainer.epochs=4", "+model.fault=none,exception", "optim.lr=0.1,0.3")
    ended = sweeps(*SWEEP, launcher, *halving)
    assert ended.code == 1
    assert "round 2 of 2" in ended.text
    assert "error: 2 of 4 runs failed; the run.json of each" in ended.text
    records = [run.read() for run in find_runs(study)]
    assert sorted(record.status.value for record in records) == ["completed", "failed", "failed", "pruned"]
    assert {record.attempts for record in records if record.status is Status.FAILED} == {1}
    if launcher == HERE:
        assert "2 failed" in ended.text


def test_after_enough_failures_no_further_round_begins(sweeps, study):
    halving = ("pruner=halving", "trainer.epochs=4", "+model.fault=none,exception", "optim.lr=0.1,0.3")
    ended = sweeps(*SWEEP, HERE, *halving, "stop_after=2")
    assert ended.code == 1
    assert "round 2 of 2:" not in ended.text
    assert "error: 2 of 4 runs failed; round 2 of 2 was not begun; the run.json" in ended.text
    assert {run.read().attempts for run in runs_by(study, "model.fault").values()} == {1}
    ended = sweeps(*SWEEP, HERE, *halving)
    assert {run.read().attempts for run in find_runs(study) if run.read().status is Status.FAILED} == {2}
