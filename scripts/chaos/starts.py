"""Starting a sweep: as a process of its own, or forked from one that has imported torch already.

A fork costs a hundredth of what a start costs; what follows, from the composition to the exit, is the same program.
"""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, Self

from .processes import PATIENCE, send

SCRIPTS = Path(__file__).resolve().parents[1]


class Process(Protocol):
    """What a started command can be asked; `subprocess.Popen` is one."""

    pid: int

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, as soon as it has one."""


class Starter(Protocol):
    """Types a command in a folder."""

    def __call__(self, folder: Path, arguments: Sequence[str]) -> Process:
        """The process, leader of a session of its own; its output is added to `output.txt` in the folder."""


def environment() -> dict[str, str]:
    """In which a command finds the network of this package."""
    path = os.pathsep.join(filter(None, (str(SCRIPTS), os.environ.get("PYTHONPATH"))))
    # Another number of threads would change the last bits: here as many as in a worker.
    return {**os.environ, "PYTHONPATH": path, "SWEEPS_ALLOW_TARGETS": "chaos", "OMP_NUM_THREADS": "1"}


def start(folder: Path, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    """Type the command in `folder`, in a session of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "output.txt").open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "sweeps", *arguments],
            cwd=folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


class Forked:
    """A command that a server was asked to fork; the server tells its exit code."""

    def __init__(self, pid: int, server: "ForkServer") -> None:
        self.pid = pid
        self._server = server
        self._code: int | None = None

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""
        if self._code is None and self._server.has_answer():
            self._code = self._server.answer()
        return self._code

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, as soon as it has one."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.poll() is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("sweeps", timeout or 0.0)
            time.sleep(0.01)
        assert self._code is not None
        return self._code


class ForkServer:
    """A process with torch in it that forks commands, one at a time. A context manager, and a `Starter`."""

    def __init__(self, program: Sequence[str] = ("-m", "sweeps")) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "chaos.server", *program],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        self._last: Forked | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._last is not None and self._last.poll() is None:
            send(self._last.pid, signal.SIGKILL, group=True)
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def __call__(self, folder: Path, arguments: Sequence[str]) -> Forked:
        """Type the command in `folder`, in a session of its own; the one before must have ended."""
        folder.mkdir(parents=True, exist_ok=True)
        if self._last is not None:
            self._last.wait(PATIENCE)
        assert self._process.stdin is not None
        self._process.stdin.write((json.dumps([str(folder), *arguments]) + "\n").encode())
        self._last = Forked(self.answer(), self)
        return self._last

    def has_answer(self) -> bool:
        """Whether there is something to read."""
        return bool(select.select([self._process.stdout], [], [], 0)[0])

    def answer(self) -> int:
        """The next number that the server tells."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the fork server is gone")
        return int(line)
