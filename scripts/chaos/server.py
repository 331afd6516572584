"""The process that forks commands: `python -m chaos.server -m sweeps`, or a script. See `ForkServer`."""

import contextlib
import importlib
import json
import os
import runpy
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

# What a command imports on its way; nothing of it starts a thread.
PRELOADED = (
    "torch",
    "torch._dynamo",
    "scipy.stats",
    "optuna",
    "sweeps.vision.app",
    "sweeps.vision.task",
    "sweeps.sweepers.search",
    "sweeps.sweepers.search.sweep",
    "sweeps.launchers.local.launch",
)


def main() -> int:
    """The server: reads folders and arguments, one line each, and writes the process and then its exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    program = sys.argv[1:]
    sys.path[0] = "" if program[0] == "-m" else str(Path(program[0]).parent)  # as Python itself has it
    for name in PRELOADED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    answers = os.dup(1)
    os.dup2(2, 1)
    while line := sys.stdin.readline():
        folder, *arguments = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os.close(answers)
            _become(folder, [program[-1], *arguments])
            if program[0] == "-m":
                runpy.run_module(program[1], run_name="__main__", alter_sys=True)
            else:
                runpy.run_path(program[0], run_name="__main__")
            return 0
        os.write(answers, b"%d\n" % pid)
        os.write(answers, b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    return 0


def _become(folder: str, argv: Sequence[str]) -> None:
    """Be a process that a shell has just started."""
    os.setsid()
    os.chdir(folder)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    nothing, output = os.open(os.devnull, os.O_RDONLY), os.open("output.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream, source in ((0, nothing), (1, output), (2, output)):
        os.dup2(source, stream)
    os.close(nothing)
    os.close(output)
    sys.argv = list(argv)


if __name__ == "__main__":
    sys.exit(main())
