"""The shipped Hydra application: its command line and help, and the last word on errors and exit codes."""

import errno
import os
import re
import sys
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path

import hydra
from hydra.core.utils import env_override
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from sweeps import ConfigError, SweepsError
from sweeps.config import PRUNERS, TRACKERS
from sweeps.terminal import printable
from sweeps.vision.config import conf_dir, register_schema

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130
_OURS = ("sweeps.", "hydra_plugins.sweeps.")
_WITHIN_HYDRA = ("sweeps.config", "sweeps.hints")  # they stand around its reading of overrides
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
    ours = (module.startswith(_OURS) and module not in _WITHIN_HYDRA for module in modules[1:])
    if not any(ours):  # no further than Hydra's own reading of it
        return _misread(error, modules)
    return None


def _misread(error: BaseException, modules: list[str]) -> str | None:
    """What to say of a command line that Hydra could not read, and does not explain itself."""
    if modules and modules[-1] == "os" and isinstance(error, KeyError):
        return f"error: hydra.job.env_copy names {error}, which the environment does not have"
    if "hydra._internal.defaults_list" in modules:
        given = [word for word in sys.argv[1:] if word.partition("=")[2].startswith(("[", "{")) and "." not in word]
        what = ", ".join(given) or "a group without an option"
        return (
            f"error: {what} is invalid: name an option of the group, such as resize=px96 (or set a key: resize.size=96)"
        )
    if any(module.startswith("hydra.") for module in modules) and isinstance(error, ValueError):
        return f"error: {error}"
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """`error` and what it came from: omegaconf hides an error inside a resolver in its own."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


TEXT = """\
Compare architectures and hyper-parameters: one run, or a sweep over a grid of runs.

  python -m sweeps [-m] [GROUP=OPTION ...] [KEY=VALUE ...]

Seven commands that people need:
  python -m sweeps model=googlenet                             train one network
  python -m sweeps -m model=alexnet,nin optim.lr=0.01,0.1      sweep: every combination is a run
  python -m sweeps -m 'model=glob(*)' sweep.repeats=3 sweep.name=all   all seven, three seeds, in multirun/all
  python -m sweeps -m 'model=glob(*)' sweep.plan=true          what would that cost? Runs nothing.
  python -m sweeps experiment=smoke                            does it work here? Seconds.
  python -m sweeps summarize multirun/all                      rank the settings of a sweep
  python -m sweeps report multirun/all                         the same as a page with charts

Groups, GROUP=OPTION; [the one that is taken where none is named]:
{groups}

Keys, KEY=VALUE; each is explained where it is set in {conf}:
  seed  device  init  optim.lr  optim.momentum  optim.weight_decay
  trainer.epochs  trainer.batch_size  trainer.clip_norm  trainer.drop_last  trainer.evaluate_train
  resize.size  dataset.limit  dataset.test_limit  dataset.validation  dataset.root
and of the sweep:
  sweep.name  sweep.output  sweep.objective.metric  sweep.objective.report  sweep.checkpoint_every  sweep.on_mismatch
  with -m: sweep.repeats  sweep.zip  sweep.exclude  sweep.plan  sweep.pause_at  sweep.pruner.min_resource
           sweep.on_failure  sweep.stop_after  sweep.retries  sweep.timeout
           hydra/sweeper=search  hydra/launcher=slurm  hydra.launcher.workers

See also:
  python -m sweeps model=alexnet --cfg job    print the composed config and run nothing
  python -m sweeps --hydra-help               Hydra's own options
"""

# Chosen by other choices; those of the engine are not all files.
_NO_CHOICE = ("hydra", "recipe", "budget", "sweep")
_OF_THE_ENGINE = {"sweep/pruner": (sorted(PRUNERS), "none"), "sweep/tracker": (sorted(TRACKERS), "tensorboard")}


def help_text() -> str:
    """What `python -m sweeps --help` prints, with the groups and options that stand in `conf/` now.

    Hydra's own help composes the config once per group, which takes a second; this reads the folder of the groups.
    """
    folder = conf_dir()
    return TEXT.format(groups="\n".join(_groups(folder)), conf=folder)


def _groups(folder: Path) -> Iterator[str]:
    defaults = (folder / "config.yaml").read_text(encoding="utf-8")
    groups = {}
    for group in sorted(path for path in folder.iterdir() if path.is_dir() and path.name not in _NO_CHOICE):
        names = sorted(path.relative_to(group).with_suffix("").as_posix() for path in group.rglob("*.yaml"))
        groups[group.name] = names, next((name for name in names if f"- {group.name}: {name}" in defaults), None)
    for key, (options, default) in (groups | _OF_THE_ENGINE).items():
        yield f"  {key:<14} {' '.join(f'[{name}]' if name == default else name for name in options)}"


# Keys of release 0.1 that have another name now: old -> new. A key that ends in a dot stands for all below it, and the
# first match counts.
_RENAMED = {
    "sweep": "sweep.name",
    "output": "sweep.output",
    "objective.epoch": "sweep.objective.report",
    "objective.": "sweep.objective.",
    "pruner": "sweep/pruner",
    "pruner.first": "sweep.pruner.min_resource",
    "pruner.factor": "sweep.pruner.reduction_factor",
    "pruner.least": "sweep.pruner.n_startup_trials",
    "pruner.budget": "sweep.pause_at",
    "pruner.extend": "sweep.pruner.resume_pruned",
    "pruner.report_every": "trainer.report_every",
    "pruner.": "sweep.pruner.",
    "tracker": "sweep/tracker",
    "tracker.": "sweep.tracker.",
    "trainer.checkpoint_every": "sweep.checkpoint_every",
}
_BELOW_SWEEP = ("plan", "repeats", "zip", "exclude", "on_failure", "stop_after", "retries", "timeout", "on_mismatch")
_RENAMED |= {key: f"sweep.{key}" for key in _BELOW_SWEEP}
_OVERRIDE = re.compile(r"(\+{0,2}|~)([A-Za-z_][\w./]*)(?:@[\w.]*)?(=.*|)", re.DOTALL)


def check_spelling(arguments: Iterable[str]) -> None:
    """Reject old spellings in a command line.

    Raises:
        ConfigError: names each with its new one.
    """
    found = [text for argument in arguments if (text := _new_spelling(argument))]
    if found:
        raise ConfigError("; ".join(found))


def _new_spelling(argument: str) -> str:
    parts = _OVERRIDE.fullmatch(argument)
    if parts is None or argument in ("sweep=default", "+sweep=default", "~sweep", "~sweep=default"):
        return ""
    if argument == "init=auto":
        return "init=auto is now what happens without init="
    prefix, key, value = parts.groups()
    for old, new in _RENAMED.items():
        if key == old or (old.endswith(".") and key.startswith(old)):
            renamed = new + key.removeprefix(old)
            if key == "pruner.first" and value:
                return (
                    f"{argument} is now {renamed}{value} (with sweep/pruner=median sweep.pruner.n_warmup_steps{value})"
                )
            return f"{argument} is now {prefix if prefix == '~' else ''}{renamed}{value}"
    return ""
