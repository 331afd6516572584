"""`workers=0`: the runs in this process, one after another, where a debugger can follow them."""

from collections.abc import Callable
from typing import Any

from sweeps.launchers.console import showing
from sweeps.launchers.job import JobSetup
from sweeps.launchers.local.pool import Event, Pool, Worker
from sweeps.launchers.local.slots import Slot
from sweeps.launchers.local.worker import PipeProgress, Tasks

HERE = Slot("here", {})


class InlineWorker(Worker):
    """A worker without a process: its task is done when the pool is polled."""

    def __init__(self, tasks: Tasks) -> None:
        super().__init__(HERE, b"", None)
        self._tasks = tasks
        self._message: tuple[str, Any] | None = None

    def submit(self, task: Any, kind: str, content: Any) -> None:
        """Take the task."""
        self.task, self._message = task, (kind, content)

    def read(self) -> list[Event]:
        """Do the task."""
        if self._message is None:
            return []
        message, self._message = self._message, None
        return [Event(self, "done", self._tasks(*message))]


class InlinePool(Pool):
    """The pool for `workers=0`."""

    def __init__(
        self, setup: JobSetup, tell: Callable[[str, str, Any], None], stop_requested: Callable[[], bool]
    ) -> None:
        super().__init__([], b"")
        self.workers = [InlineWorker(Tasks(setup))]
        self._progress = PipeProgress(lambda kind, content: tell(HERE.name, kind, content), stop_requested)

    def poll(self, timeout: float) -> list[Event]:
        """Do the task that was submitted; there is nothing to wait for."""
        with showing(self._progress):
            return [event for worker in self.workers for event in worker.read()]
