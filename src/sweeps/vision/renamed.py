"""Keys of release 0.1 that have another name now: an error gives the new one."""

import re
from collections.abc import Iterable

from sweeps import ConfigError

# Old key -> new key; a key that ends in a dot stands for all below it, and the first match counts.
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
    if parts is None or argument in ("sweep=default", "+sweep=default"):
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
