"""Worker processes and what they say: the mechanism, without a policy.

A worker is a spawned process with a pipe. Whatever happens in it, a segfault as well as an exception, the pool gives
as an event; the caller decides what follows.
"""

import contextlib
import multiprocessing
import os
import pickle
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hydra.core.utils import env_override

from sweeps.launchers.console import showing
from sweeps.launchers.job import JobSetup
from sweeps.launchers.local import worker as worker_process
from sweeps.launchers.local.slots import Slot
from sweeps.launchers.local.worker import EventProgress, answer
from sweeps.launchers.signals import hold_back_signals

LAST_SECONDS = 3.0  # in which an idle worker ends by itself
# What a new process is started with goes through a pipe that its parent holds open on both ends: a child that is killed
# before it reads leaves the parent waiting for ever, unless all fits into the pipe. That takes 64 KiB.
PIPE_BYTES = 32 << 10
POLL_SECONDS = 0.5  # a waiting parent wakes up so often to look at the clock and at signals


@dataclass
class Event:
    """What a worker said of its task.

    `kind` is `begin`, `update` or `report` while it works, `done` with its result (an exception is one), or
    `died` with the exit code of its process: negative for the signal that ended it.
    """

    worker: "Worker"
    kind: str
    content: Any


class Worker:
    """One process on one slot. It starts with its first task and stays warm for the next ones."""

    def __init__(self, slot: Slot, setup: bytes | Path, recycle_after: int | None) -> None:
        self.slot = slot
        self.task: Any = None  # what it is at work on; whatever the caller passed to `submit`
        self.since = 0.0  # monotonic clock: when its run began to train, or is to have begun
        self._setup = setup
        self._recycle_after = recycle_after
        self._process: SpawnProcess | None = None
        self._connection: Connection | None = None
        self._runs = 0

    def submit(self, task: Any, kind: str, content: Any) -> None:
        """Give an idle worker its next task."""
        self.task = task
        try:
            self._send(kind, content)
        except OSError:  # it died while it was idle
            self.kill()
            self._send(kind, content)
        self._runs += kind == "run"

    def send_stop(self) -> None:
        """Ask the run under way to stop at its next report."""
        if self._connection is not None and self.task is not None:
            with contextlib.suppress(OSError):  # dead already, which `read` will find
                self._connection.send(("stop", None))

    def watched(self) -> list[Any]:
        """What becomes ready when there is something to read."""
        return [] if self._process is None else [self._connection, self._process.sentinel]

    def read(self) -> list[Event]:
        """What it has said since the last time; never waits."""
        events: list[Event] = []
        if self._process is None or self._connection is None:
            return events
        ended = not self._process.is_alive()  # asked first: what it sent before its end is read all the same
        try:
            while self._connection.poll():
                kind, content = self._connection.recv()
                if kind == "done":
                    content = pickle.loads(content)
                events.append(Event(self, kind, content))
        except (EOFError, OSError, pickle.UnpicklingError):
            ended = True
        if ended and not any(event.kind == "done" for event in events):
            self._process.join()
            if self.task is not None:
                events.append(Event(self, "died", self._process.exitcode))
            self._forget()
        return events

    def finish(self) -> None:
        """Its task is dealt with; a worker that is due for it is replaced."""
        self.task = None
        if self._recycle_after is not None and self._runs >= self._recycle_after:
            self.kill()

    def quit(self) -> None:
        """Let an idle worker end by itself, which leaves nothing behind; `kill` ends one that does not."""
        if self._connection is not None and self.task is None:
            with contextlib.suppress(OSError):
                self._connection.send((worker_process.QUIT, None))

    def kill(self, patience: float = 0.0) -> None:
        """End the process at once; one that is idle has so many seconds to end by itself."""
        if self._process is not None:
            if self.task is None:
                self._process.join(patience)
            self._process.kill()
            self._process.join()
        self._forget()

    def _send(self, kind: str, content: Any) -> None:
        if self._connection is None:
            self._start()
        assert self._connection is not None
        self._connection.send((kind, content))

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        arguments = (theirs, self._setup)
        self._process = context.Process(target=worker_process.main, args=arguments, name=f"sweeps {self.slot.name}")
        resource_tracker.ensure_running()  # which would let signals through again
        with env_override(self.slot.environment), hold_back_signals():  # the child has both before it imports anything
            self._process.start()
        theirs.close()
        self._connection, self._runs = ours, 0

    def _forget(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._process = self._connection = None


class InlineWorker(Worker):
    """For `workers=0`: no process, so that a debugger can follow. Its task is done when the pool is polled."""

    def __init__(
        self, setup: JobSetup, tell: Callable[[str, str, Any], None], stop_requested: Callable[[], bool]
    ) -> None:
        super().__init__(Slot("here", {}), b"", None)
        self._here = setup
        self._progress = EventProgress(lambda kind, content: tell(self.slot.name, kind, content), stop_requested)

    def submit(self, task: Any, kind: str, content: Any) -> None:
        self.task, self._message = task, (kind, content)

    def read(self) -> list[Event]:
        if self.task is None:
            return []
        with showing(self._progress):
            return [Event(self, "done", answer(self._here, *self._message))]


class Pool:
    """The workers of a sweep; leaving the `with` block ends every process."""

    def __init__(self, slots: Sequence[Slot], setup: bytes, recycle_after: int | None = None) -> None:
        self.slots = [slot.name for slot in slots]
        self._file: Path | None = None
        if len(setup) > PIPE_BYTES:
            descriptor, name = tempfile.mkstemp(prefix="sweeps-", suffix=".setup")  # readable by its owner alone
            self._file = Path(name)
            with os.fdopen(descriptor, "wb") as file:
                file.write(setup)
        self.workers = [Worker(slot, self._file or setup, recycle_after) for slot in slots]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self.workers:
            worker.quit()
        for worker in self.workers:
            worker.kill(patience=LAST_SECONDS)
        if self._file is not None:
            self._file.unlink(missing_ok=True)

    @property
    def busy(self) -> list[Worker]:
        """The workers that are at work."""
        return [worker for worker in self.workers if worker.task is not None]

    @property
    def idle(self) -> list[Worker]:
        """The workers that wait for a task."""
        return [worker for worker in self.workers if worker.task is None]

    def poll(self, timeout: float) -> list[Event]:
        """What happened, waiting for at most `timeout` seconds until something does."""
        watched = [item for worker in self.workers for item in worker.watched()]
        if watched:
            wait(watched, timeout)
        elif not self.busy:
            time.sleep(timeout)
        return [event for worker in self.workers for event in worker.read()]

    def stop(self) -> None:
        """Ask every run under way to stop at its next report."""
        for worker in self.workers:
            worker.send_stop()
