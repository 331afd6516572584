"""Which process is which, and whether it still lives: how a run's state stays truthful without a database.

This module never imports torch.
"""

import contextlib
import gc
import os
import resource
import socket
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

HEARTBEAT_SECONDS = 10.0
STALE_SECONDS = 120.0  # of silence after which a process on another host counts as gone: network mounts cache for 60


@dataclass(frozen=True)
class Process:
    """A process for good: `started` tells it from a later one that was given the same number."""

    host: str
    pid: int
    started: str = ""

    @property
    def is_local(self) -> bool:
        """Whether it runs, or ran, on this machine since its last start."""
        return self.host == host_id()

    @property
    def is_alive(self) -> bool:
        """Whether it lives; meaningful only where `is_local`."""
        if self.started:
            return start_of(self.pid) == self.started
        try:
            os.kill(self.pid, 0)
        except (ProcessLookupError, OverflowError):  # the second: no system counts so far
            return False
        except PermissionError:
            pass
        return True

    def is_heard_of(self, heartbeat: Path) -> bool:
        """Whether it lives, here, or on another machine has touched the file `heartbeat` of late."""
        if self.is_local:
            return self.is_alive
        try:
            return abs(time.time() - heartbeat.stat().st_mtime) < STALE_SECONDS
        except OSError:
            return False

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host.partition('/')[0]}"


def this_process() -> Process:
    """The process that asks."""
    return Process(host_id(), os.getpid(), start_of(os.getpid()))


def host_id() -> str:
    """The machine's name, and what tells one start of it from the next, where the system says so."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        boot = ""
    return f"{socket.gethostname()}/{boot[:8]}"


def start_of(pid: int) -> str:
    """When a process was started, in clock ticks since the machine was: no change of the clock can move it.

    Empty where there is no such process (a zombie counts as none), or where the system does not say.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    state, *fields = stat.rpartition(")")[2].split()
    return "" if state in "ZX" else fields[18]


def peak_rss() -> int:
    """The most memory that this process has held since its start, or since `reset_peak_rss`, in bytes."""
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def reset_peak_rss() -> None:
    """Forget the peak so far, where the system can (Linux)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _cuda() -> Any:
    """`torch.cuda`, if this process uses a GPU."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized() else None


def device_name() -> str:
    """The GPU that torch uses in this process; empty where it uses none."""
    return str(cuda.get_device_name()) if (cuda := _cuda()) else ""


def peak_memory() -> int:
    """The most memory held so far, in bytes: of the GPU where torch uses one here, else of the process."""
    return int(cuda.max_memory_allocated()) if (cuda := _cuda()) else peak_rss()


def release_memory() -> None:
    """Before a run: give back what earlier runs of this process hold on a GPU, and forget the peaks so far."""
    if cuda := _cuda():
        gc.collect()  # recorded graphs sit in reference cycles
        cuda.empty_cache()
        cuda.reset_peak_memory_stats()
    reset_peak_rss()


class Heartbeat:
    """Touches a file every few seconds for as long as its `with` block lasts."""

    def __init__(self, path: Path, interval: float = HEARTBEAT_SECONDS) -> None:
        self._path = path
        self._interval = interval
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._over.wait(self._interval):
            with contextlib.suppress(OSError):  # a folder that vanished: the run itself will report it
                os.utime(self._path)
