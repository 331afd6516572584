"""The worker process: does one job after another with torch and the images kept warm.

Nothing heavy is imported before the process has its environment; the parent tells it what to do over a pipe, and when
that pipe closes, because the parent is gone, the worker ends at once.
"""

import os
import pickle
import queue
import signal
import threading
import traceback
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import cloudpickle
from hydra.core.utils import JobReturn

from sweeps.launchers.console import showing
from sweeps.launchers.job import JobSetup, advise, cost, inspect
from sweeps.launchers.signals import let_signals_through
from sweeps.progress import Progress
from sweeps.record.records import RunRecord

QUIT = "quit"
ORPHANED = 70  # exit code of a worker whose parent is gone


class EventProgress(Progress):
    """Sends the events of a run to the display of its sweep, as `View.tell` takes them."""

    def __init__(self, send: Callable[[str, Any], None], stop_requested: Callable[[], bool]) -> None:
        self._send = send
        self._stop_requested = stop_requested

    def begin(self, record: RunRecord) -> None:
        steps, metric = record.steps or 0, record.objective.metric
        self._send("begin", {"step": steps, "max_steps": record.max_steps, "metric": metric})

    def update(self, step: float, text: str) -> None:
        self._send("update", {"step": step, "text": text})

    def report(self, row: Mapping[str, Any]) -> None:
        self._send("report", dict(row))

    def stop_requested(self) -> bool:
        return self._stop_requested()


def answer(setup: JobSetup, kind: str, content: Mapping[str, Any]) -> Any:
    """The result of what a worker is asked to do; an exception, a request to stop included, is a result."""
    try:
        known: dict[str, Callable[..., Any]] = {
            "run": JobSetup.run,
            "inspect": inspect,
            "cost": cost,
            "advise": advise,
        }
        return known[kind](setup, **content)
    except (Exception, KeyboardInterrupt) as error:
        return error


def main(connection: Connection, setup: bytes | Path) -> None:
    """Do the tasks that come over `connection` until it says so, or closes; `setup` is packed, or a file of that."""
    stop = threading.Event()
    # Ctrl-C reaches the whole process group: only the parent acts on it. SIGTERM to one worker stops its run.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: stop.set())
    let_signals_through()
    inbox: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(connection, inbox, stop), name="parent", daemon=True).start()

    def send(kind: str, content: Any) -> None:
        try:
            connection.send((kind, content))
        except OSError:  # the parent is gone; seen as an error of the run, it would stand in its record as a failure
            os._exit(ORPHANED)

    own = JobSetup.unpack(setup.read_bytes() if isinstance(setup, Path) else setup)
    with showing(EventProgress(send, stop.is_set)):
        while (task := inbox.get())[0] != QUIT:
            send("done", _pack(answer(own, *task)))


def _listen(connection: Connection, inbox: "queue.SimpleQueue[tuple[str, Any]]", stop: threading.Event) -> None:
    while True:
        try:
            kind, content = connection.recv()
        except (EOFError, OSError):
            os._exit(ORPHANED)
        if kind == "stop":
            stop.set()
        else:
            inbox.put((kind, content))


def _pack(result: Any) -> bytes:
    """`result` pickled; what cannot be pickled, or not be read back, travels as its text."""
    try:
        data = bytes(cloudpickle.dumps(result))
        pickle.loads(data)
        return data
    except Exception:
        if isinstance(result, JobReturn):
            result._return_value = _as_text(result._return_value)
        else:
            result = _as_text(result)
        return bytes(cloudpickle.dumps(result))


def _as_text(value: Any) -> Any:
    if isinstance(value, BaseException):
        return RuntimeError("".join(traceback.format_exception(value)))
    return repr(value)
