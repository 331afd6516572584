"""Sweeps on a real Slurm of one machine: the same folders, states and table as locally, and nothing is done twice.

The application is a user's script, `regression/train.py`. Each test starts a cluster of its own by `slurm_one.sh`, on
loopback, and ends it by the numbers of its processes.
"""

import contextlib
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

MISSING = [name for name in ("slurmctld", "slurmd", "munged", "sbatch") if shutil.which(name) is None]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"no {MISSING}: apt-get install slurmctld slurmd slurm-client munge"),
    pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="slurm_one.sh starts Slurm as root"),
]

ONE = Path(__file__).with_name("slurm_one.sh")
TRAIN = Path(__file__).parent / "regression" / "train.py"
PATIENCE = 180.0  # seconds; a safety net that decides no test
SLURM = ("hydra/launcher=slurm", "hydra.launcher.poll=0.3")
GRID = ("-m", "sweep.name=grid", "lr=0.01,0.05,0.1", "seed=0,1", "steps=6", "delay=0.5")
LONG = ("steps=12", "delay=0.5")  # seconds: time enough to be disturbed


def wait_until(holds, what, patience=PATIENCE):
    """What holds at last."""
    until = time.monotonic() + patience
    while not (found := holds()):
        assert time.monotonic() < until, f"waited too long for {what}"
        time.sleep(0.1)
    return found


class Started:
    """A command under way, the leader of a session of its own."""

    def __init__(self, folder, words, number):
        self._output = folder / f"output-{number}.txt"
        with self._output.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, TRAIN, *words],
                cwd=folder,
                env={**os.environ, "COLUMNS": "300"},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def text(self):
        """What it has written so far."""
        return self._output.read_text()

    def wait_for(self, holds, what):
        """Wait until something holds; the command must not end before."""

        def now():
            found = holds()
            assert found or self.process.poll() is None, f"ended before {what}: {self.text}"
            return found

        return wait_until(now, what)

    def end(self):
        """Its exit code and what it has written."""
        return self.process.wait(PATIENCE), self.text


class Shell:
    """A folder in which commands are typed."""

    def __init__(self, folder):
        self.folder = folder
        self.sweeps = folder / "multirun"
        self.started = []

    def start(self, *words):
        """Begin a command."""
        self.started.append(Started(self.folder, words, len(self.started)))
        return self.started[-1]

    def __call__(self, *words):
        """Run a command to its end; returns its exit code and what it has written."""
        return self.start(*words).end()


@pytest.fixture
def shell(tmp_path):
    """A folder for one test."""
    shell = Shell(tmp_path)
    yield shell
    for started in shell.started:
        if started.process.poll() is None:  # the test has failed already
            os.killpg(started.process.pid, signal.SIGKILL)
            started.process.wait()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The grid on this machine, which nobody disturbs: its folder."""
    shell = Shell(tmp_path_factory.mktemp("undisturbed"))
    code, text = shell(*GRID, "delay=0", "hydra.launcher.workers=0")
    assert code == 0, text
    return shell.sweeps / "grid"


def rows_of(run):
    """The metrics of a run without what the clock says."""
    return [{key: value for key, value in row.items() if key != "elapsed"} for row in run.read_metrics()]


def is_equal(run, other):
    """Whether two runs have come to the same, to the last bit."""
    model = "model.pt"
    return rows_of(run) == rows_of(other) and (run.path / model).read_bytes() == (other.path / model).read_bytes()


def assert_equal(folder, reference):
    runs = list(find_runs(folder))
    assert [run.path.name for run in runs] == [run.path.name for run in find_runs(reference)]
    for run in runs:
        assert run.read().status is Status.COMPLETED
        assert is_equal(run, RunDir(reference / run.path.name)), run.path


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [str(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.fixture
def site_limits():
    """Further lines of the cluster's configuration."""
    return ""


@pytest.fixture(autouse=True)
def cluster(site_limits):
    """A Slurm with one node that every command of the test uses; a new one for each test."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    folder.chmod(0o755)  # munge wants everybody to get at its socket
    controller, node = free_ports(2)
    options = {"SLURM_ONE_CTLD_PORT": controller, "SLURM_ONE_D_PORT": node, "SLURM_ONE_LIMITS": site_limits}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        try:
            subprocess.run([ONE, "start", folder], check=True, timeout=60, env={**os.environ, **options})
            yield folder
            # A run has its result a moment before its job is over.
            wait_until(lambda: not alive(), "the jobs to end", patience=60)
        finally:
            for pid in processes_of(folder):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            shutil.rmtree(folder, ignore_errors=True)


def processes_of(cluster):
    """Its daemons, whose numbers it has written, and the jobs that they have left."""
    yield from (int(file.read_text()) for file in cluster.glob("*.pid"))
    conf = f"SLURM_CONF={cluster / 'slurm.conf'}".encode()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int(process.name) != os.getpid() and conf in (process / "environ").read_bytes().split(b"\0"):
                yield int(process.name)


def alive():
    """The jobs that wait or run."""
    return [entry.job for entry in Queue().look().values() if not entry.is_over]


def submissions(folder):
    return sorted(path.name for path in (folder / ".slurm").glob("submission-*.json"))


def job_of(run):
    """The job that a run is, or was, done by."""
    return run.read().environment["slurm_job"]


def running(folder, least=1):
    """The runs that are at work in a job and have reported so many steps."""
    runs = find_runs(folder) if folder.is_dir() else []
    return [run for run in runs if (record := run.read()).status is Status.RUNNING and (record.steps or 0) >= least]


def pid_of_the_controller():
    """The file that it writes, last of all when it starts."""
    return Path(os.environ["SLURM_CONF"]).parent / "slurmctld.pid"


def kill_controller(job):
    """Slurm's controller is gone at once, as with its machine, but has saved that `job` runs.

    It saves what has changed a few seconds later. A job that it takes to be pending, and that its node runs, would make
    it drain the node until an administrator resumes it.
    """
    state, now = pid_of_the_controller().parent / "state" / "job_state", time.time()
    slurm("scontrol", "update", f"JobId={job}", "TimeLimit=+1")  # a change
    wait_until(lambda: state.exists() and state.stat().st_mtime > now, "the jobs to be saved", patience=60)
    pid = int(pid_of_the_controller().read_text())
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), "the controller to be gone", patience=60)
    pid_of_the_controller().unlink(missing_ok=True)


def start_controller():
    subprocess.run(["slurmctld", "-f", os.environ["SLURM_CONF"]], check=True, timeout=60)
    ping = ("scontrol", "ping")
    wait_until(lambda: subprocess.run(ping, capture_output=True).returncode == 0, "the controller", patience=60)
    wait_until(lambda: pid_of_the_controller().exists(), "its number", patience=60)


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
    folder = shell.sweeps / "grid"
    first = shell.start(*GRID, *SLURM)
    first.wait_for(lambda: running(folder), "a run at work")
    first.process.kill()
    first.process.wait()
    submitted = submissions(folder)
    assert len(submitted) == 1
    assert Queue().look(), "the jobs continue without a parent"

    code, text = shell(*GRID, *SLURM)
    assert code == 0, text
    assert "already queued or running" in text
    assert submissions(folder) == submitted, "a run that is queued or running is not submitted again"
    assert_equal(folder, undisturbed)
    assert {run.read().attempts for run in find_runs(folder)} == {1}
    assert "6 runs: 6 completed" in text
    assert len(list((folder / ".slurm").glob("*.pkl*"))) == 1, "what all jobs share"

    code, text = shell(*GRID, *SLURM)
    assert code == 0
    assert "6 already complete, skipped, 0 to do" in text
    assert submissions(folder) == submitted


def test_a_controller_that_is_killed_in_mid_sweep_is_waited_for(shell, undisturbed):
    folder = shell.sweeps / "grid"
    slowly = ("sweep.retries=1", "delay=2")  # so that the controller saves that a run is at work
    started = shell.start(*GRID, *SLURM, *slowly)
    (run, *_) = started.wait_for(lambda: running(folder), "a run at work")
    kill_controller(job_of(run))
    try:
        os.kill(run.read().process.pid, signal.SIGKILL)  # its next attempt needs a controller
        started.wait_for(lambda: "Slurm does not answer" in started.text, "the sweep to see that Slurm is away")
        time.sleep(5)
    finally:
        start_controller()
    code, text = started.end()
    assert code == 0, text
    assert "Slurm answers again after" in text
    assert_equal(folder, undisturbed)
    assert all(submission.job for submission in Ledger(folder).read())


@pytest.mark.parametrize("site_limits", ["MaxArraySize=3"])
def test_a_grid_larger_than_the_largest_array_of_the_cluster_is_done(shell, undisturbed):
    folder = shell.sweeps / "grid"
    code, text = shell(*GRID, *SLURM, "delay=0")
    assert code == 0, text
    assert [len(submission.runs) for submission in Ledger(folder).read()] == [3, 3]
    assert_equal(folder, undisturbed)


def test_half_of_a_sweep_on_this_machine_and_the_rest_on_the_cluster_and_back_make_one_table(shell):
    words = ("-m", "sweep.name=both")
    assert shell(*words, "seed=0")[0] == 0
    code, text = shell(*words, "seed=0,1,2", *SLURM)
    assert code == 0, text
    assert "3 runs, 1 already complete, skipped, 2 to do" in text
    assert "3 runs: 3 completed" in text
    _, text = shell(*words, "seed=0,1,2,3")
    assert "3 already complete, skipped, 1 to do" in text
    assert "4 runs: 4 completed" in text


def test_each_run_ends_as_it_should_whatever_happens_to_its_job(shell, tmp_path):
    folder = shell.sweeps / "mixed"
    words = ("-m", *LONG, "seed=0,1")
    started = shell.start(*words, "sweep.name=mixed", "hydra.launcher.notice=40", *SLURM)
    timed_out, cancelled = started.wait_for(lambda: len(found := running(folder)) == 2 and found, "two runs at work")
    number = job_of(timed_out)
    slurm("scancel", "--signal=USR2", number)  # what Slurm sends some time before the limit
    slurm("scancel", job_of(cancelled))
    started.wait_for(lambda: start_now(number), "the job to be back in the queue")
    code, text = started.end()
    assert code == 1, text
    assert cancelled.read().status is Status.INTERRUPTED
    assert f"job {job_of(cancelled)} was cancelled by the user; the same command resumes its run" in text

    record = timed_out.read()
    assert record.status is Status.COMPLETED
    assert (record.attempts, job_of(timed_out)) == (2, number), "requeued, and not submitted again"
    log = Ledger(folder).log(number).read_text()
    assert "is requeued; its run resumes from the last checkpoint" in log
    assert "resuming from step" in log
    assert shell(*words, "sweep.name=undisturbed", "delay=0", "hydra.launcher.workers=0")[0] == 0
    assert is_equal(timed_out, RunDir(shell.sweeps / "undisturbed" / timed_out.path.name))


def test_a_run_that_raises_is_tried_again_and_reported_with_its_log(shell):
    code, text = shell("-m", "sweep.name=raises", "fault=none,exception", "sweep.retries=1", *SLURM)
    assert code == 1
    assert "1 of 2 runs failed" in text
    folder = shell.sweeps / "raises"
    good, bad = RunDir(folder / "fault=none").read(), RunDir(folder / "fault=exception").read()
    assert (good.status, bad.status) == (Status.COMPLETED, Status.FAILED)
    assert bad.error.kind == "error"
    assert "the model has had enough" in bad.error.text
    assert bad.attempts == 2
    log = Ledger(folder).log(bad.environment["slurm_job"])
    assert f"the log of job {bad.environment['slurm_job']} is {log}" in text
    assert "the model has had enough" in log.read_text()


@pytest.mark.parametrize("answer", ["leave", "cancel"])
def test_ctrl_c_leaves_the_jobs_to_slurm_or_cancels_them(shell, answer):
    folder = shell.sweeps / "stopped"
    words = ("-m", "sweep.name=stopped", "steps=200", "delay=0.5", "seed=0,1,2", *SLURM)
    started = shell.start(*words, f"hydra.launcher.on_interrupt={answer}")
    started.wait_for(lambda: running(folder), "a run at work")
    os.killpg(started.process.pid, signal.SIGINT)
    code, text = started.end()
    assert code in (130, -signal.SIGINT)  # by the application, or by Python itself
    left = alive()
    if answer == "leave":
        assert len(left) == 3
        assert "3 jobs left to Slurm" in text
        watch = [sys.executable, "-m", "sweeps.watch", str(folder)]
        seen = subprocess.run(watch, capture_output=True, text=True, timeout=60)
        assert "in Slurm's queue: 1 pending, 2 running" in seen.stdout
        Queue().cancel(left)
    else:
        assert left == []
        statuses = {str(run.read().status) for run in find_runs(folder)}
        assert statuses <= {"interrupted", "pending"}
        assert "interrupted" in statuses


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("partition=nowhere", "invalid partition specified: nowhere"),
        ("constraint=a100", "Invalid feature specification"),
    ],
)
def test_what_slurm_rejects_is_said_in_its_own_words(shell, option, words):
    code, text = shell("-m", "sweep.name=rejected", "seed=0", *SLURM, f"hydra.launcher.{option}")
    assert code == 1
    assert words in text
    assert submissions(shell.sweeps / "rejected") == []


def test_a_folder_that_the_node_cannot_see_is_named(shell):
    """The command sees another file system in its folder than the node does."""
    hidden = shell.sweeps
    hidden.mkdir()
    probe = subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "none", hidden], capture_output=True)
    if probe.returncode != 0:
        pytest.skip("this machine lets nobody mount")
    script = f'mount -t tmpfs none {hidden} && exec "$@"'
    command = [sys.executable, TRAIN, "-m", "sweep.name=hidden", "seed=0", *SLURM]
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
    assert "sweep.output=FOLDER on a file system that all nodes share" in done.stdout


def test_a_job_that_makes_room_for_an_urgent_one_resumes_afterwards(shell):
    folder = shell.sweeps / "room"
    started = shell.start("-m", "sweep.name=room", *LONG, "seed=0", *SLURM, f"hydra.launcher.cpus={os.cpu_count()}")
    (run,) = started.wait_for(lambda: running(folder), "the run at work")
    slurm("srun", "--partition=urgent", "--exclusive", "true")
    started.wait_for(lambda: start_now(job_of(run)), "the job to be back in the queue")
    code, text = started.end()
    assert code == 0, text
    record = run.read()
    assert record.status is Status.COMPLETED
    assert record.attempts == 2
    assert [row["step"] for row in run.read_metrics()] == list(range(1, 13))


def test_the_local_launcher_in_a_job_sees_the_gpus_and_cores_that_the_job_was_given():
    code = (
        "from sweeps.launchers.local.slots import *; print([one.name for one in make_slots(jobs=9)], available_cores())"
    )
    command = [sys.executable, "-c", code]
    assert slurm("srun", "--gres=gpu:2", *command).strip() == "['gpu 0', 'gpu 1'] 1"
    assert slurm("srun", "--cpus-per-task=1", *command).strip() == "['cpu 0'] 1"


def test_halving_decides_on_the_cluster_as_it_does_here(shell):
    grid = ("-m", "lr=0.01,0.05,0.1,0.2", "sweep/pruner=halving", "sweep.pruner.reduction_factor=2", "steps=4")
    ended = {}
    for name, where in (("here", ("hydra.launcher.workers=0",)), ("there", SLURM)):
        code, text = shell(*grid, f"sweep.name={name}", *where)
        assert code == 0, text
        records = [run.read() for run in find_runs(shell.sweeps / name)]
        ended[name] = {record.config["lr"]: (record.status, record.steps) for record in records}
    assert ended["there"] == ended["here"]
    assert {status for status, _ in ended["here"].values()} == {Status.COMPLETED, Status.PRUNED}


def test_a_search_that_was_stopped_begins_no_further_batch_and_does_the_rest_later(shell, monkeypatch):
    folder = shell.sweeps / "search"
    trials = (
        "hydra/sweeper=search",
        "hydra.sweeper.sampler=grid",
        "hydra.sweeper.batch_size=2",
        "lr=0.01,0.05,0.1,0.2",
    )
    words = ("-m", "sweep.name=search", "fault=exception", *trials, *SLURM)
    (shell.folder / "marks").mkdir()
    code, text = shell(*words, "sweep.on_failure=stop", "hydra.launcher.array_parallelism=1")
    assert code == 1
    assert "0 of 4 trials are complete, " in text
    assert len(submissions(folder)) == 1, "no further batch"
    (shell.folder / "marks" / "exception").touch()
    monkeypatch.setenv("FAULTS_ONCE", str(shell.folder / "marks"))  # the cause is removed
    code, text = shell(*words)
    assert code == 0, text
    assert "best of 4 trials" in text
    assert {run.read().status for run in find_runs(folder)} == {Status.COMPLETED}
