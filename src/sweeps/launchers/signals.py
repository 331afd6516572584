"""One signal asks to stop at the next report, a second one means at once."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOPPING = "stopping at the next report; Ctrl-C again stops at once"

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Whether somebody has asked to stop, and how often. `answer` is written to standard error at the first time."""

    def __init__(self, answer: str = "") -> None:
        self.count = 0
        self._answer = answer

    def __bool__(self) -> bool:
        return self.count > 0

    def handle(self, number: int, frame: FrameType | None) -> None:
        """A signal handler. The second signal raises KeyboardInterrupt wherever the program is."""
        self.count += 1
        if self.count > 1:
            raise KeyboardInterrupt
        # os.write, because a handler may run in the middle of another write to the same stream
        with contextlib.suppress(BrokenPipeError):
            os.write(sys.stderr.fileno(), self._answer.encode())


@contextmanager
def stop_on_signals(answer: str = "") -> Iterator[StopRequest]:
    """Turn SIGINT (Ctrl-C) and SIGTERM (a batch system's notice) into a request to stop, inside the block."""
    request = StopRequest(answer)
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.signal(number, request.handle) for number in SIGNALS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def hold_back_signals() -> Iterator[None]:
    """Let no request to stop through inside the block, nor into a process started there before `let_signals_through`.

    Ctrl-C reaches the whole process group: it would end a worker that has not got to its own handlers yet.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def let_signals_through() -> None:
    """In a process that was started while signals were held back: its handlers are in place."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
