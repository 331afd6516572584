"""The Hydra application: a composed config in, the objective out; and the last word on errors and exit codes."""

import errno
import os
import sys
import traceback
from collections.abc import Iterator

import hydra
from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import env_override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sweeps.config import conf_dir, register_schema, resolve
from sweeps.errors import ConfigError, RunFailed, SweepsError
from sweeps.help import help_text
from sweeps.records import RunDir

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # a write that fails knows no file name


def task(cfg: DictConfig) -> float:
    """Do one run in Hydra's output folder and return its objective; NaN where there is none.

    Raises:
        SweepsError: the run could not be done; its record tells why.
    """
    from sweeps.launching.progress import current_progress  # torch: seconds that --help must not cost
    from sweeps.run import run

    hydra_config = HydraConfig.get()
    folder = RunDir(hydra_config.runtime.output_dir)
    _refuse_what_only_sweeps_have(cfg, hydra_config)
    overrides = list(hydra_config.overrides.task)
    try:
        with current_progress() as progress:
            record = run(
                resolve(cfg),
                folder,
                name=folder.path.name,
                overrides=overrides,
                progress=progress,
                sources=hydra_files(cfg, overrides),
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
    if hydra_config.mode is RunMode.MULTIRUN:
        from sweeps.launching.batches import check_sweeper

        check_sweeper(cfg, hydra_config)


def hydra_files(cfg: DictConfig, overrides: list[str]) -> dict[str, str]:
    """What Hydra writes into `.hydra/`, which it would do before we can refuse a folder that holds another run."""
    return {
        ".hydra/config.yaml": OmegaConf.to_yaml(cfg),
        ".hydra/overrides.yaml": OmegaConf.to_yaml(overrides),
        ".hydra/hydra.yaml": OmegaConf.to_yaml(OmegaConf.create({"hydra": HydraConfig.get()})),
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
    except KeyboardInterrupt:
        is_plan = "plan=true" in sys.argv[1:]
        goes_on = "nothing was started" if is_plan else "the same command with the same sweep=NAME goes on from here"
        print(f"interrupted; {goes_on}", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
    except Exception as error:
        message = None if wants_traceback else explain(error)
        if message is None:
            traceback.print_exc()
        else:
            print(message, file=sys.stderr)
        sys.exit(EXIT_FAILED)


def explain(error: BaseException) -> str | None:
    """What to tell a person about `error`; None where it is a bug that needs its traceback."""
    for link in _chain(error):
        if isinstance(link, SweepsError):
            return f"error: {link}"
    if isinstance(error, (HydraException, OmegaConfBaseException)):
        cause = error.__cause__
        return f"{error}\n{cause}" if isinstance(cause, OmegaConfBaseException) else str(error)
    if isinstance(error, ValueError) and "Config group override must be" in str(error):
        return f"error: {error}: name an option of the group, such as resize=px96 (or set a key: resize.size=96)"
    if isinstance(error, OSError) and (error.filename is not None or error.errno in FULL):
        what = f" {error.filename}" if error.filename is not None else ""
        return f"error: cannot write{what}: {error.strerror}; choose another folder: output=FOLDER"
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """`error` and what it came from: omegaconf hides an error inside a resolver in its own."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
