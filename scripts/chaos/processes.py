"""Which processes of a command live, and waiting for something to happen. Needs Linux's /proc."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATIENCE = 300.0  # seconds; a safety net that decides nothing


@dataclass(frozen=True)
class Kin:
    """A living process of a session."""

    pid: int
    parent: int
    command: str

    @property
    def is_worker(self) -> bool:
        """Whether it was spawned to work, and not to look after semaphores."""
        return "multiprocessing.spawn" in self.command


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
    """The worker processes of a sweep's parent process, which leads its session."""
    return sorted(kin.pid for kin in session_members(parent) if kin.is_worker and kin.parent == parent)


def wait_until(holds: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """What `holds` returns as soon as that is true."""
    deadline = time.monotonic() + patience
    while not (value := holds()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {patience:.0f} s in vain for {what}")
        time.sleep(0.01)
    return value


def survivors_of(sessions: Sequence[int]) -> list[Kin]:
    """The processes that are left of sessions whose leader is gone, once they had time to notice."""

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
