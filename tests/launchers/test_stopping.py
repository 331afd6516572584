"""Ctrl-C, a batch system's notice, kill -9: what was computed is kept, nothing runs on, the command resumes."""

import os
import signal

import pytest

from sweeps.record.lock import owner_of
from sweeps.record.records import RunDir, Status, find_runs

from .conftest import SMALL, chaos, contents, untimed

pytestmark = pytest.mark.slow

INTERRUPTED = 130


def rows(folder):
    """How many steps the runs of a sweep have done, all together."""
    return sum(len(run.read_metrics()) for run in find_runs(folder)) if folder.is_dir() else 0


def statuses(folder):
    return sorted(str(run.read().status) for run in find_runs(folder)) if folder.is_dir() else []


def underway(folder):
    return [run for run in find_runs(folder) if run.read().status is Status.RUNNING]


def assert_resumes_from_its_last_step(run):
    """What an interrupted run has left is of one moment."""
    record, metrics = run.read(), run.read_metrics()
    assert record.status is Status.INTERRUPTED
    assert record.steps == len(metrics) >= 1
    assert [row["step"] for row in metrics] == list(range(1, int(record.steps) + 1))
    assert run.checkpoint.is_file()
    assert record.error is None


def ctrl_c(started):
    started.send(signal.SIGINT)


def notice_of_a_batch_system(started):
    started.process.terminate()


@pytest.mark.parametrize("ask", [ctrl_c, notice_of_a_batch_system])
def test_asked_once_the_sweep_ends_after_the_steps_under_way(shell, ask):
    folder = shell.folder / "multirun" / "study"
    started = shell.start(
        "-m", "sweep.name=study", "seed=0,1,2", "hydra.launcher.workers=2", *SMALL, "trainer.epochs=10000"
    )
    started.wait_for(lambda: statuses(folder).count("running") == 2, "two runs")
    workers = started.workers
    started.wait_for(lambda: all(run.read_metrics() for run in underway(folder)), "a step of each")
    ask(started)
    done = started.end()
    assert done.code == INTERRUPTED
    assert "stopping at the next report; Ctrl-C again stops at once" in done.text
    assert "interrupted; the same command with the same sweep.name=NAME resumes" in done.text
    assert "Traceback" not in done.text
    assert statuses(folder) == ["interrupted", "interrupted", "pending"]
    interrupted = [run for run in find_runs(folder) if run.read().status is Status.INTERRUPTED]
    for run in interrupted:
        assert_resumes_from_its_last_step(run)
    assert {run.read().process.pid for run in interrupted} == set(workers), "they ended in peace"
    assert owner_of(folder) is None


def test_asked_twice_it_ends_at_once_and_the_command_resumes_to_the_same_end(shell, undisturbed):
    folder = shell.folder / "multirun" / chaos.SWEEP
    started = shell.start(*chaos.GRID)
    # A worker begins its second run when its first is complete: with nine steps one at least is.
    started.wait_for(lambda: rows(folder) >= 9, "nine steps")
    started.send(signal.SIGINT)
    started.wait_for(lambda: "stopping at the next report" in started.text, "an answer")
    started.send(signal.SIGINT)
    done = started.end()
    assert done.code == INTERRUPTED
    assert "Traceback" not in done.text
    assert len(list(find_runs(folder))) == chaos.RUNS
    for run in find_runs(folder):
        record = run.read()
        assert record.status in (Status.COMPLETED, Status.INTERRUPTED, Status.PENDING)
        assert len(run.read_metrics()) >= (record.steps or 0)
    assert owner_of(folder) is None

    kept = {run.path.name: contents(run.path) for run in find_runs(folder) if run.read().status is Status.COMPLETED}
    assert kept
    last = shell(*chaos.GRID)
    assert last.code == 0
    assert "already complete, skipped" in last.text
    assert chaos.compare(folder, undisturbed) == []
    assert {name: contents(folder / name) for name in kept} == kept


def test_the_workers_of_a_killed_parent_end_and_their_runs_are_interrupted(shell):
    folder = shell.folder / "multirun" / "study"
    started = shell.start(
        "-m", "sweep.name=study", "seed=0,1,2", "hydra.launcher.workers=2", *SMALL, "trainer.epochs=10000"
    )
    started.wait_for(lambda: statuses(folder).count("running") == 2 and rows(folder) >= 3, "two runs")
    runs = {run.path: run.read() for run in find_runs(folder) if run.read().status is Status.RUNNING}
    assert {record.process.pid for record in runs.values()} == set(started.workers)
    assert owner_of(folder).pid == started.pid
    started.process.kill()
    assert started.end().code == -signal.SIGKILL
    chaos.wait_until(lambda: not chaos.session_members(started.pid), "the workers to notice", 60.0)
    for path in runs:
        assert '"status": "running"' in (path / "run.json").read_text(), "nobody could write"
        assert RunDir(path).read().status is Status.INTERRUPTED, "and yet it is known"
    assert owner_of(folder) is None


def test_a_worker_that_is_asked_to_end_hands_its_run_to_another(shell):
    folder = shell.folder / "multirun" / "study"
    arguments = ("-m", "sweep.name=study", "seed=0", "hydra.launcher.workers=1", *SMALL, "trainer.epochs=200")
    started = shell.start(*arguments)
    started.wait_for(lambda: rows(folder) >= 2, "two steps")
    (first,) = started.workers
    os.kill(first, signal.SIGTERM)
    assert started.end().code == 0
    (run,) = find_runs(folder)
    record = run.read()
    assert (record.status, record.attempts) == (Status.COMPLETED, 2)
    assert record.process.pid != first
    assert [row["step"] for row in run.read_metrics()] == list(range(1, 201))


def test_ctrl_c_before_the_first_run(shell):
    started = shell.start("-m", "sweep.name=study", "seed=0,1,2", "hydra.launcher.workers=2", *SMALL)
    started.wait_for(lambda: started.workers, "a worker")  # it is far from ready for anything
    started.send(signal.SIGINT)
    done = started.end()
    assert (done.code, "Traceback" in done.text) == (INTERRUPTED, False), done.text
    assert not (shell.folder / "multirun").exists(), "nothing was begun, so nothing is left"


def test_ctrl_c_while_a_worker_starts_again(shell):
    folder = shell.folder / "multirun" / "study"
    started = shell.start(
        "-m",
        "sweep.name=study",
        "seed=0,1",
        "hydra.launcher.workers=2",
        "hydra.launcher.recycle_after=1",
        *SMALL,
        "trainer.epochs=1,10000",
    )
    started.wait_for(lambda: "completed" in statuses(folder), "a new worker")
    ready = set(started.workers)
    started.wait_for(lambda: set(started.workers) - ready, "its process")
    started.send(signal.SIGINT)
    done = started.end()
    assert (done.code, "Traceback" in done.text) == (INTERRUPTED, False), done.text
    assert set(statuses(folder)) == {"completed", "interrupted", "pending"}


def test_one_run_stops_after_its_step_and_resumes(shell):
    arguments = ("sweep.name=single", *SMALL, "trainer.epochs=10000")
    started = shell.start(*arguments)
    folder = shell.folder / "multirun" / "single"
    started.wait_for(lambda: rows(folder) >= 2, "two steps")
    started.send(signal.SIGINT)
    done = started.end()
    assert done.code == INTERRUPTED
    assert "sweep.name=NAME resumes" in done.text
    assert "Traceback" not in done.text
    (run,) = find_runs(folder)
    assert_resumes_from_its_last_step(run)
    before = untimed(run)

    started = shell.start(*arguments)
    started.wait_for(lambda: rows(folder) > len(before), "another step")
    started.process.terminate()
    done = started.end()
    assert done.code == INTERRUPTED
    assert f"resuming from step {len(before)}" in done.text
    assert_resumes_from_its_last_step(run)
    assert untimed(run)[: len(before)] == before
    assert run.read().attempts == 2
