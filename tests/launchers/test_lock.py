"""One sweep, one owner: a living one is respected, a dead one is no obstacle, and of several at once one wins."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace

import pytest

from sweeps.errors import ConfigError
from sweeps.launchers.folders import claim_folder
from sweeps.record.lock import LOCK_NAME, LockedError, owned, owner_of
from sweeps.record.processes import STALE_SECONDS, Process, this_process

from .conftest import chaos, contents
from .contending import contend, meet_at

ELSEWHERE = Process("elsewhere/0123abcd", 4321, "99")


def write_lock(folder, owner, age=0.0):
    """A lock whose owner was last heard of so many seconds ago."""
    (folder / LOCK_NAME).mkdir(parents=True, exist_ok=True)
    path = folder / LOCK_NAME / "0123"
    path.write_text(owner if isinstance(owner, str) else json.dumps(asdict(owner)))
    os.utime(path, (time.time() - age,) * 2)
    return path


@pytest.fixture
def dead():
    """A process of this machine that is gone."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    identity = replace(this_process(), pid=process.pid, started="1")
    process.wait()
    return identity


def test_a_lock_is_there_for_as_long_as_its_block(tmp_path):
    assert owner_of(tmp_path) is None
    with owned(tmp_path):
        assert owner_of(tmp_path) == this_process()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(KeyboardInterrupt), owned(tmp_path):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_living_owner_is_respected_and_named(tmp_path):
    with owned(tmp_path):
        before = contents(tmp_path, without=())
        with pytest.raises(LockedError) as refused, owned(tmp_path):
            pass
        host, pid = this_process().host.partition("/")[0], os.getpid()
        assert f"{tmp_path} is in use by process {pid} on {host}; wait for it" in str(refused.value)
        assert "sweep.name=NAME" in str(refused.value)
        assert contents(tmp_path, without=()) == before
    assert issubclass(LockedError, ConfigError)


def test_a_dead_owner_of_this_machine_is_replaced_however_fresh_its_lock(tmp_path, dead):
    write_lock(tmp_path, dead)
    assert owner_of(tmp_path) is None
    with owned(tmp_path):
        assert owner_of(tmp_path) == this_process()
    assert list(tmp_path.iterdir()) == []


def test_a_later_process_with_the_same_number_is_not_the_owner(tmp_path):
    write_lock(tmp_path, replace(this_process(), started="1"))
    assert owner_of(tmp_path) is None
    with owned(tmp_path):
        assert owner_of(tmp_path) == this_process()


def test_an_owner_from_before_the_machines_last_start_counts_as_one_elsewhere(tmp_path):
    host = this_process().host.partition("/")[0]
    write_lock(tmp_path, Process(f"{host}/00000000", os.getpid(), this_process().started), age=STALE_SECONDS + 1)
    assert owner_of(tmp_path) is None


@pytest.mark.parametrize(
    "age", [0, STALE_SECONDS - 30, -STALE_SECONDS + 30], ids=["now", "recent", "its clock is ahead"]
)
def test_an_owner_elsewhere_that_was_heard_of_is_respected_and_named(tmp_path, age):
    write_lock(tmp_path, ELSEWHERE, age)
    assert owner_of(tmp_path) == ELSEWHERE
    with pytest.raises(LockedError, match="in use by process 4321 on elsewhere;"), owned(tmp_path):
        pass
    assert owner_of(tmp_path) == ELSEWHERE


@pytest.mark.parametrize("age", [STALE_SECONDS + 1, 1e6, -1e6], ids=["silent", "long gone", "the clock jumped back"])
def test_an_owner_elsewhere_that_is_silent_is_replaced(tmp_path, age):
    write_lock(tmp_path, ELSEWHERE, age)
    assert owner_of(tmp_path) is None
    with owned(tmp_path):
        assert owner_of(tmp_path) == this_process()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"host": 1}', "\0" * 40, '{"host": "here"}'])
def test_a_lock_that_nobody_can_read_is_no_obstacle(tmp_path, content):
    write_lock(tmp_path, content)
    with owned(tmp_path):
        assert owner_of(tmp_path) == this_process()
    assert list(tmp_path.iterdir()) == []


def test_an_owner_that_was_replaced_leaves_the_new_ones_lock(tmp_path):
    with owned(tmp_path):
        (file,) = (tmp_path / LOCK_NAME).iterdir()
        file.unlink()  # a laptop that was asleep for an hour
        write_lock(tmp_path, ELSEWHERE)
    assert owner_of(tmp_path) == ELSEWHERE


def test_the_owner_is_heard_of_while_it_is_at_work(tmp_path, monkeypatch):
    monkeypatch.setattr("sweeps.record.processes.Heartbeat.__init__.__defaults__", (0.01,))
    with owned(tmp_path):
        (file,) = (tmp_path / LOCK_NAME).iterdir()
        os.utime(file, (0, 0))
        chaos.wait_until(lambda: file.stat().st_mtime > 1, "a heartbeat")


@pytest.mark.parametrize("before", ["nobody", "dead", "unreadable"])
def test_of_several_at_the_same_moment_exactly_one_wins(tmp_path, dead, before):
    processes, rounds = 6, 60
    for number in range(rounds):
        folder = tmp_path / str(number)
        folder.mkdir()
        if before == "dead":
            write_lock(folder, dead)
        elif before == "unreadable":
            write_lock(folder, "")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, meet_at, (context.Barrier(processes),)) as pool:
        owns = [future.result() for future in [pool.submit(contend, tmp_path, rounds) for _ in range(processes)]]
    owners = [sum(round) for round in zip(*owns, strict=True)]
    assert owners == [1] * rounds
    assert not list(tmp_path.rglob("*.lock*")), "nothing is left"


def test_two_sweeps_of_the_same_second_get_two_folders(compose_all, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    configs = [compose_all("trainer.epochs=3").copy() for _ in range(3)]  # the time in their name is one and the same
    folders = [claim_folder(config)[0] for config in configs]
    assert len(set(folders)) == 3
    assert all(folder.is_dir() for folder in folders)
    assert folders[1].name == f"{folders[0].name}-2"
    assert [str(folder) for folder in folders] == [config.hydra.sweep.dir for config in configs]
    assert {folder.parts[0] for folder in folders} == {"multirun"}


def test_a_sweep_with_a_name_goes_on_in_its_folder(compose_all, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders = {claim_folder(compose_all("sweep.name=study").copy())[0] for _ in range(2)}
    assert [str(folder) for folder in folders] == ["multirun/study"]


def test_a_second_sweep_in_a_folder_is_refused_and_the_first_one_untouched(sweeps, tmp_path):
    folder = tmp_path / "multirun" / "study"
    folder.mkdir(parents=True)
    with owned(folder):
        done = sweeps("-m", "sweep.name=study", "seed=0,1")
        assert done.code == 1
        assert f"multirun/study is in use by process {os.getpid()} on " in done.text
        assert [path.name for path in folder.iterdir()] == [LOCK_NAME]
        assert owner_of(folder) == this_process()


def test_a_killed_owner_leaves_a_lock_that_is_no_obstacle(tmp_path):
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom sweeps.record.lock import owned\n"
        "with owned(Path(sys.argv[1])):\n    print('owned', flush=True)\n    time.sleep(1000)"
    )
    with subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"owned\n"
        assert owner_of(tmp_path).pid == process.pid
        with pytest.raises(LockedError, match=f"process {process.pid} on"), owned(tmp_path):
            pass
        process.send_signal(signal.SIGKILL)
    with owned(tmp_path):
        assert owner_of(tmp_path) == this_process()


def test_what_a_killed_sweep_was_writing_is_taken_away_and_nothing_else(tmp_path):
    (tmp_path / ".slurm").mkdir()
    left = [tmp_path / name for name in (".multirun.yaml.7-ab.tmp", ".sweep.json.7-ab.tmp", ".slurm/.x.json.7-ab.tmp")]
    others = [tmp_path / ".report.html.7-ab.tmp", tmp_path / "multirun.yaml"]  # a report may be written meanwhile
    for path in (*left, *others):
        path.touch()
    with owned(tmp_path):
        assert [path for path in (*left, *others) if path.exists()] == others
