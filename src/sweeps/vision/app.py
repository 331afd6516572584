"""The Hydra application: a composed config in, the objective out; and the last word on errors and exit codes."""

import contextlib
import errno
import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import hydra
from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import env_override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sweeps import ConfigError, RunFailed, SweepsError
from sweeps.record.records import RunDir
from sweeps.terminal import printable
from sweeps.vision.config import conf_dir, register_schema, resolve, shown_yaml
from sweeps.vision.help import help_text

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130
_OURS = ("sweeps.", "hydra_plugins.sweeps.")
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # a write that fails knows no file name


def task(cfg: DictConfig) -> float:
    """Do one run in Hydra's output folder and return its objective; NaN where there is none.

    Raises:
        SweepsError: the run could not be done; its record tells why.
    """
    from sweeps.launchers.console import current_progress  # torch: seconds that --help must not cost
    from sweeps.launchers.folders import check_single
    from sweeps.launchers.supported import check_honoured
    from sweeps.vision.task import run

    hydra_config = HydraConfig.get()
    folder = RunDir(hydra_config.runtime.output_dir)
    sweep = None if hydra_config.mode is RunMode.RUN else Path(hydra_config.runtime.cwd, hydra_config.sweep.dir)
    try:
        check_honoured(cfg, hydra_config)
        _refuse_what_only_sweeps_have(cfg, hydra_config)
        if sweep is None:
            check_single(folder.path)
    except ConfigError:
        with contextlib.suppress(OSError):  # Hydra has made it; what holds something stays
            folder.path.rmdir()
        raise
    overrides = cast(list[str], OmegaConf.to_container(hydra_config.overrides.task, resolve=False))
    try:
        with current_progress() as progress:
            record = run(
                resolve(cfg),
                folder,
                name=folder.path.name if sweep is None else os.path.relpath(folder.path, sweep),
                overrides=overrides,
                progress=progress,
                sources=hydra_files(cfg, overrides),
                sweep=sweep,
            )
    except KeyboardInterrupt:
        if hydra_config.mode is RunMode.RUN:
            print(f"{folder.path} keeps what was done; to go on add sweep={cfg.sweep}", file=sys.stderr)
        raise
    except Exception as error:
        if explain(error) is not None:
            raise
        raise RunFailed(
            f"{folder.path.name} failed: {type(error).__name__}: {error}. The traceback is in {folder.record}"
        ) from error
    return float("nan") if record.objective.value is None else record.objective.value


def _refuse_what_only_sweeps_have(cfg: DictConfig, hydra_config: HydraConf) -> None:
    if cfg.plan:  # a sweep is planned by its launcher, which runs no task
        raise ConfigError("plan=true plans a sweep and needs -m: python -m sweeps -m plan=true ...; no run was started")
    if cfg.repeats is not None and hydra_config.mode is RunMode.RUN:
        raise ConfigError(
            f"repeats={cfg.repeats} repeats the cells of a sweep and needs -m: python -m sweeps -m "
            f"repeats={cfg.repeats} ...; no run was started"
        )
    if str(hydra_config.launcher.get("_target_")).endswith(".SlurmLauncher") and hydra_config.mode is RunMode.RUN:
        raise ConfigError(
            "hydra/launcher=slurm submits a sweep and needs -m (a sweep may have one cell); no run was started here"
        )


def hydra_files(cfg: DictConfig, overrides: list[str]) -> dict[str, str]:
    """What Hydra writes into `.hydra/`, which it would do before we can refuse a folder that holds another run."""
    return {
        ".hydra/config.yaml": shown_yaml(cfg),
        ".hydra/overrides.yaml": shown_yaml(overrides),
        ".hydra/hydra.yaml": shown_yaml(OmegaConf.create({"hydra": HydraConfig.get()})),
    }


def main() -> None:
    """Compose and run what the command line asks for; a user's mistake is answered without a traceback.

    Exit codes: 0 all well (a diverged run counts as well), 1 some run failed or a setting cannot work, 2 wrong
    usage, 130 interrupted.
    """
    if {"--help", "-h"} & set(sys.argv[1:]):
        print(help_text())
        return
    register_schema()
    wants_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1"
    entry = hydra.main(config_path=str(conf_dir()), config_name="config", version_base="1.3")(task)
    try:
        with env_override({"HYDRA_FULL_ERROR": "1"}):  # without it Hydra prints every error its own way and exits
            entry()
    except KeyboardInterrupt as stop:
        started_nothing = str(stop) or "nothing was started" * ("plan=true" in sys.argv[1:])
        goes_on = started_nothing or "the same command with the same sweep=NAME goes on from here"
        print(f"interrupted; {goes_on}", file=sys.stderr)
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
        return f"error: cannot write{what}: {error.strerror}; choose another folder: output=FOLDER"
    modules = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)]
    if not any(module.startswith(_OURS) for module in modules[1:]):  # no further than Hydra's own reading of it
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
