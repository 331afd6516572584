"""Skip, resume or start: the one place that decides what is left of a run. Never imports torch."""

import difflib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from sweeps.config import AUTO, SweepConfig, lookup
from sweeps.errors import ConfigError, NewerRecordError, RecordError
from sweeps.hooks import check_hook
from sweeps.pruners import asked_of, judge_of
from sweeps.record.identity import differences, settings_of
from sweeps.record.processes import this_process
from sweeps.record.recording import RESERVED, bring_up_to_date
from sweeps.record.records import SKIPPED_FOLDERS, SWEEP_FILES, RunDir, RunRecord, Status, find_runs
from sweeps.record.resolved import Resolved
from sweeps.trackers import check_trackers, make_trackers

log = logging.getLogger(__name__)

_ONE_OF = {
    "objective.direction": (None, "min", "max"),
    "objective.split": (None, "train", "val", "test"),
    "objective.report": ("last", "best"),
    "pruner.direction": (None, "min", "max"),
    "on_failure": ("continue", "stop"),
    "on_mismatch": ("refuse", "rerun", "keep"),
}
_AT_LEAST = {
    "repeats": 1, "max_repeats": 2, "max_runs": 1, "confirm": 0, "stop_after": 1, "retries": 0, "checkpoint_every": 0,
}  # fmt: skip
_ABOVE_ZERO = ("max_steps", "timeout", "indifference")


class Action(StrEnum):
    """What to do with a run."""

    SKIP = "skip"
    RESUME = "resume"
    START = "start"
    REPLACE = "replace"  # the folder holds a run with other settings, to be deleted first


@dataclass(frozen=True)
class Decision:
    """What to do with a run, and what its folder holds: `previous` is None where the run starts from nothing."""

    action: Action
    previous: RunRecord | None = None
    is_outdated: bool = False  # whether the settings say of `previous` what its file does not: another objective


def decide(folder: RunDir, resolved: Resolved, sweep: Path) -> Decision:
    """What is left of a run whose sweep lives in the folder `sweep`.

    A complete run is skipped; one that was stopped early is resumed if its settings now say so; a damaged record counts
    as none: the run is done again, from its checkpoint where that is sound.

    Raises:
        ConfigError: the folder holds the work of a run with other settings, another process is working there, or it
            lies inside another run's folder.
        NewerRecordError: a newer release wrote it.
        RecordError: something in it is a link.
    """
    previous = _previous(folder)
    if previous is None:
        check_place(folder.path)
        return Decision(Action.START)
    if previous.status is Status.RUNNING and previous.process != this_process():
        raise ConfigError(
            f"{folder.path} is being run by {previous.process}; wait for it, or choose another "
            f"{resolved.mount}.name=NAME"
        )
    if previous.run_id == resolved.run_id:
        if not previous.status.is_finished:
            return Decision(Action.RESUME, previous)
        if previous.status is Status.PRUNED and (
            (judge := judge_of(resolved, sweep)) is None or judge.resumes(previous)
        ):
            return Decision(Action.RESUME, previous)
        return Decision(Action.SKIP, previous, is_outdated=bring_up_to_date(previous, resolved, folder))
    if not previous.status.is_finished and not previous.steps:
        return Decision(Action.START)  # nothing would be lost
    match resolved.settings["on_mismatch"]:
        case "keep":
            return Decision(Action.SKIP, previous)
        case "rerun":
            check_below(folder.path)
            return Decision(Action.REPLACE)
    changed = differences(previous.settings(), resolved.shown_settings())
    raise ConfigError(
        f"{folder.path} holds a run with other settings ({changed}) and was left as it is. Choose another "
        f"{resolved.mount}.name=NAME, or {resolved.mount}.on_mismatch=rerun (the old run is deleted) or "
        f"{resolved.mount}.on_mismatch=keep"
    )


def check_place(folder: Path) -> None:
    """Refuse a folder for a new run, or a sweep, where summaries would not find all runs: runs do not nest.

    Raises:
        ConfigError: it lies in the folder of a run, or holds other runs.
    """
    check_above(folder)
    check_below(folder)


def check_above(folder: Path) -> None:
    """Refuse a folder at or below that of a run, where no summary would find what is in it.

    Raises:
        ConfigError: names the run.
    """
    for place in (folder.absolute(), *folder.absolute().parents):
        if _is_run(place):
            raise ConfigError(
                f"{folder} lies in the folder of a run, {place}, where no summary would find it; choose another "
                "sweep.name=NAME or folder. No run was started"
            )


def check_below(folder: Path) -> None:
    """Refuse the folder of a sweep, or of other runs, for a run: it would hide or delete them.

    Raises:
        ConfigError: names what is there.
    """
    if not folder.is_dir():
        return
    found = next((folder / name for name in SWEEP_FILES if (folder / name).exists()), None)
    inside = (entry for entry in sorted(folder.iterdir()) if entry.is_dir() and not entry.is_symlink())
    runs = (run.path for entry in inside if entry.name not in SKIPPED_FOLDERS for run in find_runs(entry))
    found = found or next(runs, None)
    if found is not None:
        raise ConfigError(
            f"{folder} is invalid: it holds other runs ({found}), which a run there would hide "
            f"from summaries; choose a folder of its own, such as {folder / 'NAME'}. No run was started"
        )


def _is_run(folder: Path) -> bool:
    run = RunDir(folder)
    if not run.record.is_file():
        return False
    try:
        run.read()
    except RecordError:
        return False  # somebody else's file of that name, or a damaged one
    return True


def check(resolved: Resolved, cfg: DictConfig, sweep: Path, home: str) -> dict[str, Any]:
    """See that the settings can work, by our rules and the application's; returns the facts that it knows beforehand.

    `home` is the module of its training function.
    """
    settings, mount = resolved.settings, resolved.mount
    hook = settings["hooks"]["check"]
    facts = check_hook(hook, f"{mount}.hooks.check", home, cfg) if hook else {}  # it knows our values best
    check_engine(settings, mount)
    make_trackers(settings["tracker"])
    if (seed_key := settings["seed_key"]) != SweepConfig.seed_key and not has_key(resolved.config, seed_key):
        problem = without_seed(resolved.config, mount, seed_key)
        raise ConfigError(f"{mount}.seed_key={seed_key} is invalid: {problem}")
    return facts


def check_engine(settings: Mapping[str, Any], mount: str) -> None:
    """See that the engine's own settings can work, as far as they themselves say.

    Raises:
        ConfigError: one of them cannot.
    """
    for key, known in _ONE_OF.items():
        value = lookup(settings, key)
        if value not in known:
            options = ", ".join("null" if one is None else str(one) for one in known)
            raise ConfigError(f"{mount}.{key}={value} is invalid: it is one of {options}")
    for key, least in _AT_LEAST.items():
        if isinstance(settings[key], int) and settings[key] < least:
            raise ConfigError(f"{mount}.{key}={settings[key]} is invalid: at least {least}")
    for key in _ABOVE_ZERO:
        if settings[key] is not None and not 0 < settings[key] < float("inf"):
            raise ConfigError(f"{mount}.{key}={settings[key]} is invalid: a number above 0, or null")
    if isinstance(settings["repeats"], str) and settings["repeats"] != AUTO:
        raise ConfigError(f"{mount}.repeats={settings['repeats']} is invalid: a number of seeds, or {AUTO}")
    if settings["repeats"] == AUTO and lookup(settings, "objective.direction") is None:
        raise ConfigError(
            f"{mount}.repeats={AUTO} needs to know which values are better: {mount}.objective.direction=min or max"
        )
    if settings["confirm"] and settings["repeats"] is None:
        raise ConfigError(f"{mount}.confirm={settings['confirm']} needs {mount}.repeats: seeds that choose the setting")
    for key in ("objective.metric", "pruner.metric"):
        if (metric := lookup(settings, key)) in RESERVED:
            raise ConfigError(
                f"{mount}.{key}={metric} is invalid: that is the engine's own name; name a metric that runs report"
            )
    check_trackers(settings["tracker"])
    asked_of(settings)


def has_key(config: Mapping[str, Any], key: str) -> bool:
    """Whether plain data has a value, None included, at a dotted key."""
    parent, _, last = key.rpartition(".")
    node = lookup(config, parent) if parent else config
    return isinstance(node, Mapping) and last in node


def without_seed(config: Mapping[str, Any], mount: str, key: str) -> str:
    """What to say of a config, plain data, that has no value at `key`, where the seed should be."""
    known = list(settings_of(config, (mount,)))
    similar = [one for one in known if "seed" in one.lower()][:5] or difflib.get_close_matches(key, known)
    has = f"it has {', '.join(similar)}, so add {mount}.seed_key={similar[0]}" if similar else "add one"
    or_add = f", or add {key}: 0 to the config" if similar else f" ({key}: 0), or name it: {mount}.seed_key=KEY"
    return f"the config has no key {key} for the seed of a run; {has}{or_add}"


def _previous(folder: RunDir) -> RunRecord | None:
    folder.refuse_links()
    if not folder.record.exists():
        return None
    try:
        return folder.read()
    except NewerRecordError:
        raise
    except RecordError as error:
        log.warning("%s; the run is done again", error)
        return None
