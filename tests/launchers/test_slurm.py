"""Sweeps on a real Slurm of one machine: the same directories, states and table as locally, and nothing is done twice.

The cluster is started by `slurm_one.sh`, on loopback, and ended by the numbers of its own processes.
"""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from sweeps.launchers.slurm.ledger import Ledger
from sweeps.launchers.slurm.queue import Queue
from sweeps.record.records import RunDir, Status, find_runs

from .conftest import SMALL, chaos, runs_by, untimed

MISSING = [name for name in ("slurmctld", "slurmd", "munged", "sbatch") if shutil.which(name) is None]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"no {MISSING}: apt-get install slurmctld slurmd slurm-client munge"),
    pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="slurm_one.sh starts Slurm as root"),
    pytest.mark.skipif(importlib.util.find_spec("submitit") is None, reason="no submitit: pip install '.[slurm]'"),
]

ONE = Path(__file__).with_name("slurm_one.sh")
SLURM = ("hydra/launcher=slurm", "hydra.launcher.poll=0.3")
GRID = (*(word for word in chaos.GRID if not word.startswith("hydra.launcher.")), *SLURM)
LONG = ("trainer.epochs=15", "dataset.limit=1000", "trainer.batch_size=10")  # seconds: time enough to be disturbed


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [str(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """A Slurm with one node, of which every command of this module knows."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    folder.chmod(0o755)  # munge wants everybody to get at its socket
    controller, node = free_ports(2)
    ports = {"SLURM_ONE_CTLD_PORT": controller, "SLURM_ONE_D_PORT": node}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        try:
            subprocess.run([ONE, "start", folder], check=True, timeout=60, env={**os.environ, **ports})
            yield
        finally:
            subprocess.run([ONE, "stop", folder], check=True, timeout=120)
            shutil.rmtree(folder)


def alive():
    """The jobs that wait or run."""
    return [entry.job for entry in Queue().look().values() if not entry.is_over]


@pytest.fixture(autouse=True)
def no_jobs_are_left(cluster):
    """A run has its result a moment before its job is over."""
    yield
    try:
        chaos.wait_until(lambda: not alive(), "the jobs to end", patience=120)
    finally:
        Queue().cancel(alive())


def submissions(folder):
    return sorted(path.name for path in (folder / ".slurm").glob("submission-*.json"))


def job_of(run):
    """The job that a run is, or was, done by."""
    return run.read().environment["slurm_job"]


def running(folder, least=1):
    """The runs that are at work in a job and have done so many epochs."""
    runs = find_runs(folder) if folder.is_dir() else []
    return [run for run in runs if (record := run.read()).status is Status.RUNNING and record.epochs >= least]


def pid_of_the_controller():
    """The file that it writes, last of all when it starts."""
    return Path(os.environ["SLURM_CONF"]).parent / "slurmctld.pid"


def kill_controller(number=signal.SIGKILL):
    """Slurm's controller is gone at once, as with its machine, and forgets the last seconds."""
    pid = int(pid_of_the_controller().read_text())
    os.kill(pid, number)
    chaos.wait_until(lambda: not Path(f"/proc/{pid}").exists(), "the controller to be gone", patience=60)
    pid_of_the_controller().unlink(missing_ok=True)


def start_controller():
    subprocess.run(["slurmctld", "-f", os.environ["SLURM_CONF"]], check=True, timeout=60)
    ping = ("scontrol", "ping")
    chaos.wait_until(lambda: subprocess.run(ping, capture_output=True).returncode == 0, "the controller", patience=60)
    chaos.wait_until(lambda: pid_of_the_controller().exists(), "its number", patience=60)


@pytest.fixture
def small_arrays():
    """A cluster whose arrays have three tasks at most."""
    conf = Path(os.environ["SLURM_CONF"])
    before = conf.read_text()
    for text in (f"{before}MaxArraySize=3\n", before):
        conf.write_text(text)
        kill_controller(signal.SIGTERM)  # it saves what it knows of the jobs
        start_controller()
        if text != before:
            yield


def slurm(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def start_now(job):
    """Whether a job goes back to the queue; it need not wait there for the two minutes that Slurm makes it wait."""
    entry = Queue().look()[job]
    if (entry.state, entry.reason) != ("PENDING", "BeginTime"):
        return False
    time.sleep(3)  # its node refuses a start that is not clearly later than the end of the last one
    slurm("scontrol", "update", f"JobId={job}", "StartTime=now")
    return True


def test_a_grid_whose_parent_is_killed_ends_as_an_undisturbed_one_and_nothing_is_done_twice(shell, undisturbed):
    folder = shell.folder / "multirun" / chaos.SWEEP
    first = shell.start(*GRID)
    first.wait_for(lambda: running(folder), "a run at work")
    first.process.kill()
    first.process.wait()
    submitted = submissions(folder)
    assert len(submitted) == 1
    assert Queue().look(), "the jobs go on without a parent"

    again = shell(*GRID)
    assert again.code == 0, again.text
    assert "queued or running already" in again.text
    assert submissions(folder) == submitted, "a cell that is queued or running is not submitted again"
    assert chaos.compare(folder, undisturbed) == []
    assert {run.read().attempts for run in find_runs(folder)} == {1}
    assert "6 runs: 6 completed" in again.text
    assert len(list((folder / ".slurm").glob("*.pkl*"))) == 1, "what all jobs share"

    third = shell(*GRID)
    assert third.code == 0
    assert "6 finished before and skipped, 0 to do" in third.text
    assert submissions(folder) == submitted


def test_a_controller_that_is_killed_in_mid_sweep_is_waited_for(shell, undisturbed):
    folder = shell.folder / "multirun" / chaos.SWEEP
    started = shell.start(*GRID, "retries=1")
    (run, *_) = started.wait_for(lambda: running(folder), "a run at work")
    kill_controller()
    try:
        os.kill(run.read().process.pid, signal.SIGKILL)  # its next try needs a controller
        started.wait_for(lambda: "Slurm does not answer" in started.text, "the sweep to see that Slurm is away")
        time.sleep(5)
    finally:
        start_controller()
    done = started.end()
    assert done.code == 0, done.text
    assert "Slurm answers again after" in done.text
    assert "6 runs: 6 completed" in done.text
    for run in find_runs(folder):  # `retries` stands in the records
        other = RunDir(undisturbed / run.path.name)
        assert untimed(run) == untimed(other)
        assert run.weights.read_bytes() == other.weights.read_bytes()
    assert all(submission.job for submission in Ledger(folder).read())


def test_a_grid_larger_than_the_largest_array_of_the_cluster_is_done(shell, small_arrays, undisturbed):
    folder = shell.folder / "multirun" / chaos.SWEEP
    done = shell(*GRID)
    assert done.code == 0, done.text
    assert [len(submission.cells) for submission in Ledger(folder).read()] == [3, 3]
    assert chaos.compare(folder, undisturbed) == []


def test_half_of_a_sweep_on_this_machine_and_the_rest_on_the_cluster_and_back_make_one_table(shell):
    words = ("-m", *SMALL, "sweep=both", "model=lenet_bn")
    assert shell(*words, "seed=0").code == 0
    done = shell(*words, "seed=0,1,2", *SLURM)
    assert done.code == 0, done.text
    assert "3 cells, 1 finished before and skipped, 2 to do" in done.text
    assert "3 runs: 3 completed" in done.text
    back = shell(*words, "seed=0,1,2,3")
    assert "3 finished before and skipped, 1 to do" in back.text
    assert "4 runs: 4 completed" in back.text


def test_each_cell_ends_as_it_should_whatever_happens_to_its_job(shell, run_into, tmp_path):
    folder = shell.folder / "multirun" / "mixed"
    started = shell.start("-m", *SMALL, *LONG, "sweep=mixed", "seed=0,1", "hydra.launcher.notice=40", *SLURM)
    both = started.wait_for(lambda: len(found := running(folder)) == 2 and found, "two runs at work")
    timed_out, cancelled = both
    number = job_of(timed_out)
    slurm("scancel", "--signal=USR2", number)  # what Slurm sends some time before the limit
    slurm("scancel", job_of(cancelled))
    started.wait_for(lambda: start_now(number), "the job to be back in the queue")
    done = started.end()
    assert done.code == 1, done.text
    assert cancelled.read().status is Status.INTERRUPTED
    assert f"job {job_of(cancelled)} was cancelled by the user; the same command resumes its run" in done.text

    record = timed_out.read()
    assert record.status is Status.COMPLETED
    assert (record.attempts, job_of(timed_out)) == (2, number), "requeued, and not submitted again"
    assert "goes back to the queue" in Ledger(folder).log(number).read_text()
    undisturbed = RunDir(tmp_path / "undisturbed")
    run_into(undisturbed, *SMALL, *LONG, f"seed={record.config['seed']}")
    assert untimed(timed_out) == untimed(undisturbed)
    assert timed_out.weights.read_bytes() == undisturbed.weights.read_bytes()


def test_a_cell_that_raises_is_tried_again_and_reported_with_its_log(shell):
    words = ("-m", *SMALL, "sweep=raises", "model=lenet_bn", "model._target_=networks.faulty")
    done = shell(*words, "+model.fault=none,exception", "retries=1", *SLURM)
    assert done.code == 1
    assert "1 of 2 runs failed" in done.text
    folder = shell.folder / "multirun" / "raises"
    runs = runs_by(folder, "model.fault")
    good, bad = runs["none"].read(), runs["exception"].read()
    assert (good.status, bad.status) == (Status.COMPLETED, Status.FAILED)
    assert bad.error.kind == "error"
    assert "the network has had enough" in bad.error.text
    assert bad.attempts == 2
    assert (
        f"the log of job {bad.environment['slurm_job']} is {Ledger(folder).log(job_of(runs['exception']))}" in done.text
    )
    assert "the network has had enough" in Ledger(folder).log(job_of(runs["exception"])).read_text()


@pytest.mark.parametrize("answer", ["leave", "cancel"])
def test_ctrl_c_leaves_the_jobs_to_slurm_or_cancels_them(shell, answer):
    folder = shell.folder / "multirun" / "stopped"
    words = ("-m", *SMALL, *LONG, "trainer.epochs=200", "sweep=stopped", "model=lenet_bn", "seed=0,1,2", *SLURM)
    started = shell.start(*words, f"hydra.launcher.on_interrupt={answer}")
    started.wait_for(lambda: running(folder), "a run at work")
    started.send(signal.SIGINT)
    done = started.end()
    assert done.code == 130
    assert "Traceback" not in done.text
    left = alive()
    watch = [sys.executable, "-m", "sweeps.watch", str(folder)]
    if answer == "leave":
        assert len(left) == 3
        assert "3 jobs left to Slurm" in done.text
        seen = subprocess.run(watch, capture_output=True, text=True, timeout=60)
        assert "in Slurm's queue: 1 pending, 2 running" in seen.stdout
        Queue().cancel(left)
    else:
        assert left == []
        statuses = {str(run.read().status) for run in find_runs(folder)}
        assert statuses <= {"interrupted", "pending", "completed"}
        assert "interrupted" in statuses


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("partition=nowhere", "invalid partition specified: nowhere"),
        ("constraint=a100", "Invalid feature specification"),
    ],
)
def test_what_slurm_refuses_is_said_in_its_own_words(shell, option, words):
    done = shell("-m", *SMALL, "sweep=refused", "seed=0", *SLURM, f"hydra.launcher.{option}")
    assert done.code == 1
    assert words in done.text
    assert "Traceback" not in done.text
    assert submissions(shell.folder / "multirun" / "refused") == []


def test_a_folder_that_the_node_cannot_see_is_named(shell):
    """The command sees another file system in its folder than the node does."""
    hidden = shell.folder / "multirun"
    hidden.mkdir()
    probe = subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "none", hidden], capture_output=True)
    if probe.returncode != 0:
        pytest.skip("this machine lets nobody mount")
    script = f'mount -t tmpfs none {hidden} && exec "$@"'
    command = [sys.executable, "-m", "sweeps", "-m", *SMALL, "sweep=hidden", "seed=0", *SLURM]
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", *command],
        cwd=shell.folder,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "COLUMNS": "300"},
    )
    assert done.returncode == 1
    assert "does the node see this folder?" in done.stdout
    assert "output=FOLDER on a file system that all nodes share" in done.stdout


def test_a_job_that_makes_room_for_an_urgent_one_goes_on_afterwards(shell):
    folder = shell.folder / "multirun" / "room"
    words = ("-m", *SMALL, *LONG, "sweep=room", "model=lenet_bn", "seed=0")
    started = shell.start(*words, *SLURM, f"hydra.launcher.cpus={os.cpu_count()}")
    (run,) = started.wait_for(lambda: running(folder), "the run at work")
    slurm("srun", "--partition=urgent", "--exclusive", "true")
    started.wait_for(lambda: start_now(job_of(run)), "the job to be back in the queue")
    done = started.end()
    assert done.code == 0, done.text
    record = run.read()
    assert record.status is Status.COMPLETED
    assert record.attempts == 2
    assert [row["epoch"] for row in run.read_metrics()] == list(range(1, 16))


def test_the_local_launcher_in_a_job_sees_the_gpus_and_cores_that_the_job_was_given():
    code = "from sweeps.launchers.local.slots import *; print([slot.name for slot in make_slots(jobs=9)], available_cores())"
    command = [sys.executable, "-c", code]
    assert slurm("srun", "--gres=gpu:2", *command).strip() == "['gpu 0', 'gpu 1'] 1"
    assert slurm("srun", "--cpus-per-task=1", *command).strip() == "['cpu 0'] 1"


def test_halving_decides_on_the_cluster_as_it_does_here(shell):
    grid = ("-m", "optim.lr=0.03,0.3,1,3", "pruner=halving", *SMALL, "trainer.epochs=3")
    ended = {}
    for name, where in (("here", ("hydra.launcher.workers=2",)), ("there", SLURM)):
        done = shell(*grid, f"sweep={name}", *where)
        assert done.code == 0, done.text
        runs = runs_by(shell.folder / "multirun" / name, "optim.lr")
        ended[name] = {lr: (record.status, record.epochs) for lr, run in runs.items() if (record := run.read())}
    assert ended["there"] == ended["here"]
    assert {status for status, _ in ended["here"].values()} == {Status.COMPLETED, Status.PRUNED}


def test_a_search_that_was_stopped_begins_no_further_batch_and_does_the_rest_later(shell, monkeypatch):
    folder = shell.folder / "multirun" / "search"
    trials = (
        "hydra/sweeper=search",
        "hydra.sweeper.sampler=grid",
        "hydra.sweeper.batch_size=2",
        "optim.lr=0.1,0.2,0.3,1",
    )
    words = ("-m", *SMALL, "sweep=search", "model._target_=networks.faulty", "+model.fault=exception", *trials, *SLURM)
    (shell.folder / "marks").mkdir()
    stopped = shell(*words, "on_failure=stop", "hydra.launcher.array_parallelism=1")
    assert stopped.code == 1
    assert "0 of 4 trials are complete, " in stopped.text
    assert len(submissions(folder)) == 1, "no further batch"
    (shell.folder / "marks" / "exception").touch()
    monkeypatch.setenv("FAULTS_ONCE", str(shell.folder / "marks"))  # the cause is removed
    done = shell(*words)
    assert done.code == 0, done.text
    assert "best of 4 trials" in done.text
    assert {run.read().status for run in find_runs(folder)} == {Status.COMPLETED}
