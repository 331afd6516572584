"""What the tests of the launcher share: sweeps in processes of their own, and quick ones in this process."""

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

from sweeps.record.records import find_runs
from sweeps.vision import app
from sweeps.vision.config import lookup
from sweeps.vision.outputs import WEIGHTS

HERE = Path(__file__).resolve().parent
PATIENCE = 300.0  # seconds; a safety net that decides no test

# A run of four steps an epoch, without curves.
SMALL = (
    "dataset=fashion_mnist_mini",
    "dataset.limit=100",
    "dataset.test_limit=50",
    "trainer.batch_size=25",
    "trainer.epochs=2",
    "trainer.threads=1",
    "sweep/tracker=none",
    "device=cpu",
)


sys.path.append(str(HERE.parents[1] / "scripts"))
import chaos  # noqa: E402


class Done(NamedTuple):
    """How a command ended: its exit code, and what it wrote to both streams."""

    code: int
    text: str


class Started:
    """A command under way, the leader of a session of its own."""

    def __init__(self, process, output):
        self.process = process
        self._output = output

    @property
    def pid(self):
        return self.process.pid

    @property
    def text(self):
        """What it has written so far."""
        return self._output.read_text()

    @property
    def workers(self):
        """The numbers of its worker processes that live."""
        return chaos.workers_of(self.pid)

    def send(self, number):
        """Send a signal to all of its processes, as a terminal does."""
        os.killpg(self.pid, number)

    def wait_for(self, holds, what):
        """Wait until something holds; the command must not end before."""

        def now():
            value = holds()
            assert value or self.process.poll() is None, f"ended before {what}: {self.text}"
            return value

        return chaos.wait_until(now, what, PATIENCE)

    def end(self):
        """How it ends."""
        return Done(self.process.wait(PATIENCE), self.text)


class Shell:
    """A folder in which commands are typed. None of their processes may outlive it."""

    def __init__(self, folder, **environment):
        self.folder = folder
        self._environment = environment
        self._started = []

    def start(self, *arguments, **options):
        """Begin a command."""
        output = self.folder / f"output-{len(self._started)}.txt"
        path = os.pathsep.join(
            filter(None, (str(HERE), str(HERE.parents[1] / "scripts"), os.environ.get("PYTHONPATH")))
        )
        environment = {**os.environ, "PYTHONPATH": path, "SWEEPS_ALLOW_TARGETS": "networks,chaos", "COLUMNS": "300"}
        environment.pop("HYDRA_FULL_ERROR", None)
        environment.pop("OMP_NUM_THREADS", None)
        with output.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "sweeps", *arguments],
                cwd=self.folder,
                env={**environment, **self._environment},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **options,
            )
        self._started.append(Started(process, output))
        return self._started[-1]

    def __call__(self, *arguments, **options):
        """Type a command and wait for its end."""
        return self.start(*arguments, **options).end()

    def close(self):
        """No process is left, or else the test fails."""
        for started in self._started:
            if started.process.poll() is None:  # the test has failed already
                started.send(signal.SIGKILL)
                started.process.wait()
        survivors = chaos.survivors_of([started.pid for started in self._started])
        assert not survivors


@pytest.fixture
def shell(tmp_path):
    """A folder to type commands in, for one test."""
    shell = Shell(tmp_path)
    yield shell
    shell.close()


@pytest.fixture(scope="module")
def new_shell(tmp_path_factory):
    """Make such folders for all tests of a module."""
    shells = []

    def make(**environment):
        shells.append(Shell(tmp_path_factory.mktemp("shell"), **environment))
        return shells[-1]

    yield make
    for shell in shells:
        shell.close()


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """The sweep of `chaos.GRID`, two runs at a time, that nothing disturbs: its folder."""
    with chaos.ForkServer() as starter:
        return chaos.undisturbed(tmp_path_factory.mktemp("undisturbed"), chaos.GRID, starter)


@pytest.fixture
def sweeps(monkeypatch, tmp_path, capfd):
    """Type a command in this process, in an empty folder: quick, since torch is there already."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setenv("SWEEPS_ALLOW_TARGETS", "networks")
    monkeypatch.syspath_prepend(HERE)
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level

    def type_in(*arguments):
        monkeypatch.setattr(sys, "argv", ["sweeps", *arguments])
        monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
        capfd.readouterr()
        code = 0
        try:
            app.main()
        except SystemExit as end:
            code = end.code
        finally:
            GlobalHydra.instance().clear()
            HydraConfig.instance().cfg = None
            for handler in root.handlers:
                if handler not in handlers:
                    handler.close()
            root.handlers[:] = handlers
            root.setLevel(level)
        return Done(code, "".join(capfd.readouterr()))

    return type_in


def runs_by(folder, key):
    """The runs of a sweep by the value that their config has at `key`."""
    return {lookup(run.read().config, key): run for run in find_runs(folder)}


def contents(folder, without=("multirun.yaml", "sweep.json", ".lock")):
    """Every file below a folder: which it is, when it was written, and what is in it."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in without:
            state = path.stat()
            found[str(path.relative_to(folder))] = (state.st_ino, state.st_mtime_ns, path.read_bytes())
    return found


def weights_of(run):
    """The file of its weights."""
    return (run.path / WEIGHTS).read_bytes()


def untimed(run):
    """The metrics of a run without what the clock says."""
    return [
        {key: value for key, value in row.items() if key not in ("elapsed", "examples_per_second")}
        for row in run.read_metrics()
    ]
