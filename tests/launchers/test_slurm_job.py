"""What a job of the cluster does when its time is up. Needs no Slurm."""

import json
import multiprocessing
import sys

import pytest

from sweeps.launchers.runs import make_runs
from sweeps.launchers.slurm import job
from sweeps.launchers.slurm.job import EXIT_FAILED, EXIT_INTERRUPTED, Notice, RunJob
from sweeps.launchers.slurm.queue import Rejected
from sweeps.record.records import RunDir, Status

from .records import record_of


@pytest.fixture
def leave(tmp_path, monkeypatch):
    """One start of a job after the other, each up to such a step, until its time is up; returns how it ended."""
    requeued = []
    monkeypatch.setattr(job, "requeue", requeued.append)
    monkeypatch.setattr(job, "slurm_job", lambda: "7_1")
    run = RunDir(tmp_path / "seed=0")
    run.path.mkdir()
    (tmp_path / ".slurm").mkdir()
    run.write(record_of("seed=0"))
    run_job = RunJob(str(tmp_path / ".slurm" / "setup.pkl"), str(run.path), ("seed=0",), 0, 120)

    def start(steps):
        record = run.read()
        before = record.steps or 0.0
        record.status, record.steps = Status.INTERRUPTED, steps
        run.write(record)
        notice = Notice()
        notice.time_is_up = True
        requeued.clear()
        with pytest.raises(SystemExit) as end:
            run_job._leave(notice, run, before)
        return end.value.code, requeued == ["7_1"]

    start.run = run
    return start


RESUMES = (EXIT_INTERRUPTED, True)


def test_a_run_has_failed_after_two_starts_in_a_row_without_a_further_step(leave):
    assert [leave(steps) for steps in (1.0, 1.0, 1.5, 1.5)] == [RESUMES] * 4, "a slow start is no failure"
    assert leave(1.5) == (EXIT_FAILED, False)
    error = leave.run.read().error
    assert (leave.run.read().status, error.kind) == (Status.FAILED, "timeout")
    assert "hydra.launcher.time" in error.advice
    assert leave(1.5) == RESUMES, "repeated, it has two starts again"


def test_a_run_that_never_reports_has_two_starts(leave):
    assert leave(None) == RESUMES
    assert leave(None) == (EXIT_FAILED, False)


def test_a_run_without_a_checkpoint_that_starts_again_each_time_is_not_requeued_for_ever(leave):
    assert [leave(steps) for steps in (5.0, 4.0, 6.0, 5.0)] == [RESUMES] * 4
    assert leave(6.0) == (EXIT_FAILED, False)


def test_a_job_that_must_not_be_requeued_keeps_its_checkpoint_and_says_so(leave, monkeypatch, capsys):
    def forbidden(number):
        raise Rejected("Requested operation is presently disabled")

    monkeypatch.setattr(job, "requeue", forbidden)
    assert leave(1.0)[0] == EXIT_INTERRUPTED
    assert leave.run.read().status is Status.INTERRUPTED
    assert "cannot be requeued, its run needs a new one: Requested operation" in capsys.readouterr().err


def test_each_task_of_an_array_finds_its_own_run_and_what_the_user_s_process_had(tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(RunJob, "__call__", lambda self: done.append((self.folder, self.overrides, self.number)))
    monkeypatch.setattr(sys, "argv", ["train.py", "-m", "seed=4,5"])
    monkeypatch.syspath_prepend(tmp_path / "scripts")
    runs = make_runs([["seed=4"], ["seed=5"]], 4, tmp_path)
    path = tmp_path / "submission-1.work"
    work = job.work_of(tmp_path / "setup.pkl", 120, runs)
    assert "authkey" not in work["process"]
    path.write_text(json.dumps(work))
    prepared = []
    monkeypatch.setattr(job.spawn, "prepare", prepared.append)
    for task in ("1", "0"):
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", task)
        job.main(str(path))
    assert done == [(str(tmp_path / "seed=5"), ("seed=5",), 5), (str(tmp_path / "seed=4"), ("seed=4",), 4)]
    assert prepared[0]["sys_argv"] == ["train.py", "-m", "seed=4,5"]
    assert str(tmp_path / "scripts") in prepared[0]["sys_path"]
    assert not hasattr(multiprocessing.current_process(), "_inheriting")
