"""What a record says is so, after any death and whatever the clock says."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from sweeps.record.processes import (
    HEARTBEAT_SECONDS,
    STALE_SECONDS,
    Heartbeat,
    Process,
    host_id,
    start_of,
    this_process,
)
from sweeps.record.records import RunDir, Status

from .conftest import chaos
from .records import record_of


@pytest.fixture
def other():
    """Another process of this machine that lives until the end of the test."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"]) as process:
        yield process
        process.kill()


def identity(process):
    return Process(host_id(), process.pid, start_of(process.pid))


@pytest.fixture
def running(tmp_path):
    """Write a record that says that a process is at work, last heard of so many seconds ago; gives what is read."""

    def make(process, age=0.0):
        run = RunDir(tmp_path)
        run.write(record_of("seed=0", status=Status.RUNNING, process=process))
        moment = time.time() - age
        os.utime(run.record, (moment, moment))
        before = run.record.read_bytes()
        status = run.read().status
        assert run.record.read_bytes() == before, "reading writes nothing"
        return status

    return make


def test_this_process_lives():
    me = this_process()
    assert (me.pid, me.host) == (os.getpid(), host_id())
    assert me.is_local
    assert me.is_alive
    assert me.started == start_of(os.getpid()) != ""


def test_a_process_that_is_killed_is_gone(other, running):
    process = identity(other)
    assert process.is_alive
    assert running(process) is Status.RUNNING
    other.send_signal(signal.SIGKILL)
    chaos.wait_until(lambda: not process.is_alive, "its end")  # also while it is a zombie that nobody has asked about
    assert running(process) is Status.INTERRUPTED
    other.wait()
    assert not process.is_alive
    assert running(process) is Status.INTERRUPTED


def test_a_process_that_is_stopped_lives(other, running):
    other.send_signal(signal.SIGSTOP)
    assert running(identity(other)) is Status.RUNNING


def test_a_later_process_with_the_same_number_is_another_one(other, running):
    process = identity(other)
    assert running(replace(process, started=str(int(process.started) - 1))) is Status.INTERRUPTED
    assert running(process) is Status.RUNNING


@pytest.mark.parametrize("age", [0, 1e7, -1e7], ids=["now", "long ago", "in the future"])
def test_of_a_process_here_the_clock_says_nothing(running, other, age):
    assert running(identity(other), age) is Status.RUNNING
    assert running(replace(identity(other), started="1"), age) is Status.INTERRUPTED


@pytest.mark.parametrize(
    ("age", "status"),
    [
        (0, Status.RUNNING),
        (HEARTBEAT_SECONDS * 3, Status.RUNNING),
        (STALE_SECONDS + 1, Status.INTERRUPTED),
        (1e7, Status.INTERRUPTED),
        (-HEARTBEAT_SECONDS * 3, Status.RUNNING),  # its clock is a little ahead
        (-1e7, Status.INTERRUPTED),  # ours has jumped back
    ],
)
def test_of_a_process_elsewhere_its_heartbeat_says_whether_it_lives(running, age, status):
    assert running(Process("elsewhere/01234567", os.getpid(), start_of(os.getpid())), age) is status


def test_the_machine_before_its_last_start_is_another_machine(running):
    before = Process(f"{host_id().partition('/')[0]}/00000000", os.getpid(), start_of(os.getpid()))
    assert running(before, STALE_SECONDS + 1) is Status.INTERRUPTED


def test_a_record_without_a_process_is_of_a_run_that_is_gone(running):
    assert running(None) is Status.INTERRUPTED


def test_a_system_that_does_not_tell_when_a_process_started(other):
    process = Process(host_id(), other.pid)
    assert process.is_alive
    other.kill()
    other.wait()
    assert not process.is_alive


def test_a_heartbeat_is_heard_until_the_end_of_its_block_and_no_longer(tmp_path):
    path = tmp_path / "file"
    path.write_text("content")
    os.utime(path, (0, 0))
    with Heartbeat(path, interval=0.01):
        chaos.wait_until(lambda: path.stat().st_mtime > 1, "the first one")
        os.utime(path, (0, 0))
        chaos.wait_until(lambda: path.stat().st_mtime > 1, "the next one")
    os.utime(path, (0, 0))
    time.sleep(0.05)
    assert path.stat().st_mtime == 0
    assert path.read_text() == "content"


def test_a_heartbeat_makes_no_file_and_survives_that_there_is_none(tmp_path):
    with Heartbeat(tmp_path / "gone", interval=0.01):
        time.sleep(0.05)
    assert list(tmp_path.iterdir()) == []
