"""The exceptions that a user of the package may meet.

SweepsError               everything that is the user's to mend; anything else that escapes is our bug
├── ConfigError           a setting, or a combination of settings, cannot work
├── DataError             a data set is missing, damaged or not what it claims to be
├── RecordError           a run directory cannot be read or written
│   └── NewerRecordError  ... because a newer release wrote it; it is left as it is
├── ReportError           a training function has used its run in a way that cannot work
└── RunFailed             a run ended with the status `failed`; its record tells why

Every message names the value, the rule that it breaks and the way out.
"""

import sysconfig
import traceback
from pathlib import Path

_OF_PYTHON = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
_INSTALLED = (*_OF_PYTHON, str(Path(__file__).parent), "<")


class SweepsError(Exception):
    """Base of all errors that are the user's to mend; printed without a traceback."""

    kind = "error"


class ConfigError(SweepsError):
    """A setting, or a combination of settings, that cannot work."""

    kind = "config"


class DataError(SweepsError):
    """A data set that is missing, damaged or not what it claims to be."""

    kind = "data"


class RecordError(SweepsError):
    """A run directory that cannot be read or written."""

    kind = "record"


class NewerRecordError(RecordError):
    """A record that a newer release wrote, which this one must neither read nor overwrite."""


class ReportError(SweepsError):
    """A training function that has used its run in a way that cannot work."""

    kind = "report"


class RunFailed(SweepsError):
    """A run that ended with the status `failed`; the message points to its record."""


def in_a_line(error: BaseException) -> str:
    """`ValueError: boom (train.py:27)`: an error of somebody's code, and where in it, as far as that is known."""
    place = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        path = frame.f_code.co_filename
        if not path.startswith(_INSTALLED) and "site-packages" not in path:
            place = f" ({Path(path).name}:{line})"
    first, *more = f"{type(error).__name__}: {error}".splitlines()
    return "\n".join([first + place, *more])
