"""What a job of the cluster does when its time is up. Needs no Slurm."""

import pytest

from sweeps.launchers.slurm import job
from sweeps.launchers.slurm.job import EXIT_FAILED, EXIT_INTERRUPTED, CellJob, Notice
from sweeps.launchers.slurm.queue import Rejected
from sweeps.record.recording import new_record
from sweeps.record.records import RunDir, Status


@pytest.fixture
def leave(tmp_path, compose, monkeypatch):
    """One start of a job after the other, each of so many epochs, until its time is up; returns how it ended."""
    requeued = []
    monkeypatch.setattr(job, "requeue", requeued.append)
    monkeypatch.setattr(job, "slurm_job", lambda: "7_1")
    run = RunDir(tmp_path / "seed=0")
    run.path.mkdir()
    (tmp_path / ".slurm").mkdir()
    run.write(new_record(compose("sweep=study"), name="seed=0", overrides=["seed=0"]))
    cell = CellJob(str(tmp_path / ".slurm" / "setup.pkl"), str(run.path), ("seed=0",), 0, 120)

    def start(epochs):
        record = run.read()
        before = record.epochs
        record.status, record.epochs = Status.INTERRUPTED, before + epochs
        run.write(record)
        notice = Notice()
        notice.time_is_up = True
        requeued.clear()
        with pytest.raises(SystemExit) as end:
            cell._leave(notice, run, before)
        return end.value.code, requeued == ["7_1"]

    start.run = run
    return start


def test_a_run_has_failed_after_two_starts_in_a_row_without_an_epoch(leave):
    goes_on = (EXIT_INTERRUPTED, True)
    assert [leave(epochs) for epochs in (1, 0, 1, 0)] == [goes_on] * 4, "a slow start is no failure"
    assert leave(0) == (EXIT_FAILED, False)
    error = leave.run.read().error
    assert (leave.run.read().status, error.kind) == (Status.FAILED, "timeout")
    assert "hydra.launcher.time" in error.advice
    assert leave(0) == goes_on, "typed again, it has two starts again"


def test_an_epoch_between_two_slow_starts_makes_the_count_start_again(leave):
    assert leave(0)[1]
    assert leave(2)[1]
    assert leave(0)[1]


def test_a_job_that_must_not_be_requeued_keeps_its_checkpoint_and_says_so(leave, monkeypatch, capsys):
    def forbidden(number):
        raise Rejected("Requested operation is presently disabled")

    monkeypatch.setattr(job, "requeue", forbidden)
    assert leave(1)[0] == EXIT_INTERRUPTED
    assert leave.run.read().status is Status.INTERRUPTED
    assert "cannot be requeued, its run needs a new one: Requested operation" in capsys.readouterr().err


def test_each_task_of_an_array_finds_its_own_cell(tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(CellJob, "__call__", lambda self: done.append((self.folder, self.overrides, self.number)))
    work = tmp_path / "submission-1.work"
    cells = ", ".join(f'{{"folder": "seed={n}", "overrides": ["seed={n}"], "number": {n}}}' for n in (4, 5))
    work.write_text(f'{{"setup": "setup.pkl", "notice": 120, "cells": [{cells}]}}')
    for task in ("1", "0"):
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", task)
        job.main(str(work))
    assert done == [("seed=5", ("seed=5",), 5), ("seed=4", ("seed=4",), 4)]
