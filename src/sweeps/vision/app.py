"""The shipped Hydra application: its command line, and the last word on errors and exit codes."""

import errno
import os
import sys
import traceback
from collections.abc import Iterator

import hydra
from hydra.core.utils import env_override
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from sweeps import SweepsError
from sweeps.terminal import printable
from sweeps.vision.config import conf_dir, register_schema
from sweeps.vision.help import help_text
from sweeps.vision.renamed import check_spelling

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130
_OURS = ("sweeps.", "hydra_plugins.sweeps.")
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # a write that fails knows no file name

register_schema()  # here, so that a worker that is given `task` has it too


def task(cfg: DictConfig) -> float | None:
    """One run, recorded in Hydra's output folder; returns its objective."""
    from sweeps import recorded  # torch: seconds that --help must not cost
    from sweeps.vision.task import train

    value: float | None = recorded(train)(cfg)
    return value


def main() -> None:
    """Compose and run what the command line asks for; a user's mistake is answered without a traceback.

    Exit codes: 0 success (a diverged run counts as well), 1 some run failed or a setting cannot work, 2 wrong usage,
    130 interrupted.
    """
    if {"--help", "-h"} & set(sys.argv[1:]):
        print(help_text())
        return
    wants_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1"
    entry = hydra.main(config_path=str(conf_dir()), config_name="config", version_base="1.3")(task)
    try:
        check_spelling(sys.argv[1:])
        with env_override({"HYDRA_FULL_ERROR": "1"}):  # without it Hydra prints every error its own way and exits
            entry()
    except KeyboardInterrupt as stop:
        print(f"interrupted; {str(stop) or 'the same command with the same sweep.name=NAME resumes'}", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
    except Exception as error:
        message = None if wants_traceback else explain(error)
        if message is None:
            traceback.print_exc()
        else:
            print(printable(message), file=sys.stderr)
        sys.exit(EXIT_FAILED)


def explain(error: BaseException) -> str | None:
    """What to tell a person about `error`; None where it is a bug that needs its traceback."""
    for link in _chain(error):
        if isinstance(link, SweepsError):
            return f"error: {link}"
    if isinstance(error, (HydraException, OmegaConfBaseException)):
        cause = error.__cause__
        return f"{error}\n{cause}" if isinstance(cause, OmegaConfBaseException) else str(error)
    if isinstance(error, OSError) and (error.filename is not None or error.errno in FULL):
        what = f" {error.filename}" if error.filename is not None else ""
        return f"error: cannot write{what}: {error.strerror}; choose another folder: sweep.output=FOLDER"
    modules = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)]
    ours = (module.startswith(_OURS) and module != "sweeps.config" for module in modules[1:])  # which reads overrides
    if not any(ours):  # no further than Hydra's own reading of it
        return _misread(error, modules)
    return None


def _misread(error: BaseException, modules: list[str]) -> str | None:
    """What to say of a command line that Hydra could not read, and does not explain itself."""
    if modules and modules[-1] == "os" and isinstance(error, KeyError):
        return f"error: hydra.job.env_copy names {error}, which the environment does not have"
    if "hydra._internal.defaults_list" in modules:
        return f"error: {error}: name an option of the group, such as resize=px96 (or set a key: resize.size=96)"
    if any(module.startswith("hydra.") for module in modules) and isinstance(error, ValueError):
        return f"error: {error}"
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """`error` and what it came from: omegaconf hides an error inside a resolver in its own."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
