"""In what a sweep that was disturbed differs from one that was not."""

import dataclasses
import itertools
import json
from collections import Counter
from pathlib import Path
from typing import Any

from sweeps.record.records import RunDir, find_runs

# What two equal runs may differ in: the clock, the process, and how often they were begun.
UNEQUAL = (
    *("started", "ended", "seconds", "elapsed", "examples_per_second"),
    *("process", "attempts", "peak_memory", "environment"),
)
LOG = "run.log"  # what was said on the way: a run that was interrupted has more to tell
JOURNAL = "study.journal"


def compare(folder: Path, reference: Path, *, bits: bool = True) -> list[str]:
    """In what the sweep in `folder` differs from the one in `reference`, in words; empty for equal ones.

    Without `bits`, where chance decides which runs there are, they are counted, and looked at one by one.
    """
    found = [f"{path.relative_to(folder)} is left over" for path in folder.rglob("*") if is_leftover(path)]
    runs, others = (
        {str(run.path.relative_to(place)): run for run in find_runs(place)} if place.is_dir() else {}
        for place in (folder, reference)
    )
    for name, run in sorted(runs.items()):
        found += [f"{short(name)}: {text}" for text in inconsistencies(run)]
    if (reference / JOURNAL).exists():
        found += _journals(folder, reference, len(runs), bits)
    if not bits:
        return found
    if runs.keys() != others.keys():
        found.append(f"runs: {sorted(map(short, runs))} instead of {sorted(map(short, others))}")
    for name in sorted(runs.keys() & others.keys()):
        found += [f"{short(name)}: {text}" for text in _runs(runs[name], others[name])]
    here, there = (
        {path.name for path in place.iterdir() if path.is_file()} if place.is_dir() else set()
        for place in (folder, reference)
    )
    return found + ([f"files: {sorted(here)} instead of {sorted(there)}"] if here != there else [])


def short(name: str) -> str:
    """A long name of a run ends with eight digits that tell it from the others."""
    return name if len(name) < 40 else f"...{name[-8:]}"


def is_leftover(path: Path) -> bool:
    """Whether somebody wrote a file under a name for the time being, or locked something, and did not come back."""
    return path.name.endswith(".tmp") or ".lock" in path.name


def inconsistencies(run: RunDir) -> list[str]:
    """What no finished run has."""
    found = []
    lines = run.metrics.read_text().splitlines() if run.metrics.exists() else []
    steps = [json.loads(line)["step"] for line in lines]
    if steps != [steps[0] * number for number in range(1, len(steps) + 1)]:
        found.append(f"metrics of the steps {steps}")
    record = run.read()
    if not record.status.is_finished:
        found.append(f"{record.status}: {record.error}")
    if record.steps != (steps[-1] if steps else None):
        found.append(f"{record.steps} steps in its record, {steps[-1:]} in its metrics")
    if record.status.is_final and run.checkpoint.exists():
        found.append("its checkpoint is left over")
    return found


def _runs(run: RunDir, other: RunDir) -> list[str]:
    found = []
    files, others = ({str(path.relative_to(each.path)) for path in each.path.rglob("*")} for each in (run, other))
    if (files ^ others) - {LOG}:
        found.append(f"files {sorted(files - others)} too many, {sorted(others - files)} too few")
    for name in sorted(files & others):
        one, two = run.path / name, other.path / name
        if name.endswith((".safetensors", "confusion.json")) and one.read_bytes() != two.read_bytes():
            found.append(f"other {name.partition('.')[0]}")
    if without_time(run.read_metrics()) != without_time(other.read_metrics()):
        found.append("other metrics")
    record, expected = (without_time(dataclasses.asdict(each.read())) for each in (run, other))
    changed = [key for key in expected if record[key] != expected[key]]
    return [*found, f"other {', '.join(changed)} in its record"] if changed else found


def without_time(value: Any) -> Any:
    """A record, or metrics, without what may differ."""
    if isinstance(value, dict):
        return {key: without_time(item) for key, item in value.items() if key not in UNEQUAL}
    return [without_time(item) for item in value] if isinstance(value, list) else value


def _journals(folder: Path, reference: Path, runs: int, bits: bool) -> list[str]:
    mine, other = trials_of(folder), trials_of(reference)
    if bits:
        return [
            f"trial {number}: {one} instead of {two}"
            for number, (one, two) in enumerate(itertools.zip_longest(mine, other))
            if one != two
        ]
    found = [] if len(mine) == len(other) else [f"{len(mine)} trials instead of {len(other)}"]
    states = Counter(state for state, *_ in mine)
    if set(states) - {"COMPLETE", "PRUNED"}:
        found.append(f"trials: {dict(states)}")
    named = {name for *_, name in mine}
    if len(named) != runs:
        found.append(f"{runs} runs for {len(named)} different trials")
    return found


def trials_of(folder: Path) -> list[tuple[Any, ...]]:
    """Of every trial its state, parameters, values, and the name of its run."""
    import optuna
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(folder / JOURNAL)))
    study = optuna.load_study(study_name="search", storage=storage)
    return [
        (trial.state.name, trial.params, trial.values, trial.user_attrs.get("run"))
        for trial in study.get_trials(deepcopy=False)
    ]
