"""What the commands share: their way with arguments, files, processes and medians. Never imports torch."""

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import NoReturn

from sweeps.errors import ConfigError, RecordError, RunFailed
from sweeps.record.files import atomic_write

ROOT = Path(__file__).resolve().parents[1]
EXIT_FAILED, EXIT_INVALID, EXIT_INTERRUPTED = 1, 2, 130


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_INVALID, f"{self.prog}: {message} (see --help)\n")


def names(text: str) -> list[str]:
    """`a,b`: an argument of names."""
    found = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} names nothing")
    return found


def count(text: str) -> int:
    """An argument of 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of 1 or more")
    return int(text)


def write(path: Path, text: str) -> None:
    """Replace a file of results.

    Raises:
        RecordError: it cannot be written.
    """
    if path.exists() and not path.is_file():
        raise RecordError(f"{path} is not an ordinary file; name another one")
    try:
        atomic_write(path, text.encode())
    except OSError as error:
        raise RecordError(
            f"{path} cannot be written ({error.strerror}); name a file in a folder that exists"
        ) from error


def environment() -> dict[str, str]:
    """For processes that run the code of this checkout."""
    path = [str(ROOT / "src"), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path)}


def python(arguments: Sequence[str], folder: Path) -> str:
    """Run Python in `folder`, where it may leave its files; returns what it printed.

    Raises:
        RunFailed: it failed.
    """
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RunFailed(f"python {' '.join(arguments)} ended with code {done.returncode}:\n{done.stderr.strip()}")
    return done.stdout


def check_names(option: str, found: Iterable[str], known: Collection[str]) -> None:
    """Reject names that are not known.

    Raises:
        ConfigError: names them, and the known ones.
    """
    if unknown := [name for name in found if name not in known]:
        raise ConfigError(f"{option}: {', '.join(unknown)} is not known; known are {', '.join(known)}")


def split(argv: Sequence[str] | None) -> tuple[list[str], list[str]]:
    """The options of a command line, and the overrides that follow `--`."""
    words = list(sys.argv[1:] if argv is None else argv)
    cut = words.index("--") if "--" in words else len(words)
    return words[:cut], words[cut + 1 :]


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, least and greatest."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def format_spread(values: dict[str, float]) -> str:
    """`median [min, max]`."""
    digits = 1 if values["median"] >= 10 else 2
    return f"{values['median']:.{digits}f} [{values['min']:.{digits}f}, {values['max']:.{digits}f}]"
