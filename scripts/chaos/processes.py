"""Starting a sweep, which of its processes live, and waiting for something to happen. Needs Linux's /proc."""

import contextlib
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import forkserver
from pathlib import Path
from typing import Any, Self

from hydra.core.utils import env_override

SCRIPTS = Path(__file__).resolve().parents[1]
PATIENCE = 300.0  # seconds; a safety net that decides nothing
# What a command imports on its way; nothing of it starts a thread.
PRELOADED = [
    *("torch", "torch._dynamo", "scipy.stats", "optuna", "sweeps.vision.app", "sweeps.vision.task"),
    *("sweeps.sweepers.search", "sweeps.sweepers.search.sweep"),
    *("sweeps.launchers.job", "sweeps.launchers.local.launch"),
]


class Forked:
    """A command that was forked, the leader of a session of its own. It is asked as a `subprocess.Popen` is."""

    def __init__(self, process: Any) -> None:
        self._process = process
        self.pid: int = process.pid

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._process.exitcode  # type: ignore[no-any-return]

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, as soon as it has one."""
        self._process.join(timeout)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired("sweeps", timeout or 0.0)
        return code


class ForkServer:
    """Types commands: forks of a process that has imported torch already. A context manager.

    A fork costs a hundredth of what a start costs; what follows, from the composition to the exit, is the same program.
    """

    def __init__(self, program: Sequence[str] = ("-m", "sweeps")) -> None:
        self._program = list(program)
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(PRELOADED)
        self._last: Forked | None = None
        path = os.pathsep.join(filter(None, (str(SCRIPTS), os.environ.get("PYTHONPATH"))))
        # A command finds the network of this package. Another number of threads would change the last bits: here as
        # many as in a worker.
        with env_override({"PYTHONPATH": path, "SWEEPS_ALLOW_TARGETS": "chaos", "OMP_NUM_THREADS": "1"}):
            forkserver.ensure_running()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._last is not None and self._last.poll() is None:
            send(self._last.pid, signal.SIGKILL, group=True)
            self._last.wait()

    def __call__(self, folder: Path, arguments: Sequence[str]) -> Forked:
        """Type the command in `folder`; its output is added to `output.txt` there."""
        folder.mkdir(parents=True, exist_ok=True)
        process = self._context.Process(target=_become, args=(str(folder), self._program, list(arguments)))
        process.start()
        self._last = Forked(process)
        wait_until(lambda: process.exitcode is not None or session_members(process.pid), "its session")
        return self._last


def _become(folder: str, program: Sequence[str], arguments: Sequence[str]) -> None:
    """Be a process that a shell has just started."""
    os.setsid()
    os.chdir(folder)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    nothing, output = os.open(os.devnull, os.O_RDONLY), os.open("output.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream, source in ((0, nothing), (1, output), (2, output)):
        os.dup2(source, stream)
    os.close(nothing)
    os.close(output)
    sys.argv = [program[-1], *arguments]
    if program[0] == "-m":
        sys.path[0] = ""  # as Python itself has it
        runpy.run_module(program[1], run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = str(Path(program[0]).parent)
        runpy.run_path(program[0], run_name="__main__")


@dataclass(frozen=True)
class Kin:
    """A living process of a session."""

    pid: int
    parent: int
    command: str


def session_members(session: int) -> list[Kin]:
    """Every living process of a session; a zombie counts as dead."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            state, parent, _, its_session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it ended meanwhile
            continue
        if int(its_session) == session and state not in "ZX":
            found.append(Kin(int(entry.name), int(parent), command))
    return found


def workers_of(parent: int) -> list[int]:
    """The worker processes of a sweep's parent process, which leads its session; none that looks after semaphores."""
    members = session_members(parent)
    return sorted(kin.pid for kin in members if kin.parent == parent and "multiprocessing.spawn" in kin.command)


def wait_until(holds: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """What `holds` returns as soon as that is true."""
    deadline = time.monotonic() + patience
    while not (value := holds()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {patience:.0f} s in vain for {what}")
        time.sleep(0.01)
    return value


def survivors_of(sessions: Sequence[int]) -> list[Kin]:
    """The processes that are left of sessions whose leader is gone, once they had time to notice; they are killed."""

    def left() -> list[Kin]:
        return [kin for session in sessions for kin in session_members(session)]

    try:
        wait_until(lambda: not left(), "the workers to notice that their parent is gone", patience=60.0)
    except TimeoutError:
        survivors = left()
        for kin in survivors:
            send(kin.pid, signal.SIGKILL)
        return survivors
    return []


def send(pid: int, number: int, *, group: bool = False) -> bool:
    """Send a signal to a process or to its group; False if it ended before."""
    with contextlib.suppress(ProcessLookupError):
        (os.killpg if group else os.kill)(pid, number)
        return True
    return False
