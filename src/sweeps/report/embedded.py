"""The data that travel in the page as JSON: every run in full, every chart's rows. Never imports torch."""

import os
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sweeps.config import MOUNT
from sweeps.record.files import to_json
from sweeps.record.records import RunRecord
from sweeps.report.content import Content, Entry
from sweeps.report.render import Picture
from sweeps.results import format as text
from sweeps.results.ranking import sentences
from sweeps.results.runs import Objective

_OF_ROW = ("name", "sweep", "seed", "status", "rank", "is_best", "value", "steps", "max_steps", "seconds", "facts")
_OF_RECORD = ("run_id", "setting_id", "peak_memory", "started", "ended", "attempts")
_CONFIG_OPTIONS = ("--config-dir", "-cd", "--config-path", "-cp", "--config-name", "-cn")


def embedded(content: Content, pictures: Sequence[Picture], *, base: Path, refresh: float | None) -> dict[str, Any]:
    """Settings that are the same in all runs are under `common`; curves are columns, a list for each metric."""
    common = _common([entry.row.settings for entry in content.entries if entry.row.record])
    environments: list[dict[str, Any]] = []
    return {
        "schema": 2,
        "ranked_on": sentences(content.rows),
        "objective": _objective(content.objective),
        "axes": [axis.key for axis in content.axes],
        "colours": {name: colour for name, (colour, *_) in content.looks.items()},
        "common": common,
        "environments": environments,
        "runs": [_run(entry, common, environments, base) for entry in content.entries],
        "charts": {picture.name: picture.figure.rows for picture in pictures},
        "refresh": refresh,
    }


def _run(entry: Entry, common: dict[str, Any], environments: list[dict[str, Any]], base: Path) -> dict[str, Any]:
    row, record = entry.row, entry.row.record
    metrics = dict.fromkeys(key for report in entry.reports for key in report)
    found = {
        "key": entry.key,
        **{name: getattr(row, name) for name in _OF_ROW},
        "objective": _objective(row.objective),
        "path": str(row.path),
        "link": link(row.path, base),
        "problem": " ".join(part for part in (row.problem_kind, row.problem or entry.trouble) if part),
        "settings": {key: value for key, value in row.settings.items() if key not in common},
        "metrics": {text.clean(key): [report.get(key) for report in entry.reports] for key in metrics},
    }
    if record is not None:
        shared = dict(record.environment)
        command = command_line(shared.pop("command", None))
        if shared not in environments:
            environments.append(shared)
        found |= {name: getattr(record, name) for name in _OF_RECORD}
        found |= {"repeat": _repeat_line(record), "command": command, "environment": environments.index(shared)}
        found["traceback"] = record.error.traceback if record.error is not None else ""
    return found


def _objective(objective: Objective | None) -> dict[str, str] | None:
    return {**objective._asdict(), "name": objective.name} if objective else None


def _common(settings: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The settings that are the same in all of several runs."""
    if len(settings) < 2:
        return {}
    first, *others = ({key: to_json(value) for key, value in one.items()} for one in settings)
    same = set(first.items()).intersection(*(one.items() for one in others))
    return {key: value for key, value in settings[0].items() if (key, first[key]) in same}


def link(path: Path, base: Path) -> str:
    """The run's folder as a link from a page in `base`."""
    return quote(Path(os.path.relpath(path, base)).as_posix()) + "/"


def command_line(command: object) -> str:
    """A recorded command as one types it."""
    return shlex.join(str(word) for word in command) if isinstance(command, list) else ""


def _repeat_line(record: RunRecord) -> str:
    """The command that does this run again, in a sweep of its own: in the old one it would be skipped."""
    mount = record.ignore[0] if record.ignore else MOUNT
    dropped = {f"{mount}.{key}" for key in ("name", "on_mismatch", "repeats", "zip", "exclude", "plan")}
    kept = [one for one in record.overrides if one.partition("=")[0].lstrip("+~") not in dropped]
    words = record.environment.get("command")
    program, options = _program([str(word) for word in words] if isinstance(words, list) else [])
    multirun = [word for word in options if word in ("-m", "--multirun")][-1:]  # without it nothing may be recorded
    return shlex.join([*program, *multirun, *_where(options), *kept, f"{mount}.name=repeat"])


def _program(command: Sequence[str]) -> tuple[list[str], Sequence[str]]:
    """The first words of a recorded command, `python train.py` or `python -m sweeps`, and the others."""
    if command[:1] == ["python"]:
        length = 3 if command[1:2] == ["-m"] else 2
        return list(command[:length]), command[length:]
    if not command or command[0] == "sweeps":
        return ["python", "-m", "sweeps"], command[1:]
    return ["python"] * command[0].endswith(".py") + [command[0]], command[1:]


def _where(command: Sequence[str]) -> Iterator[str]:
    """The options of a recorded command that say where its configs are."""
    words = iter(command)
    for word in words:
        if word.partition("=")[0] in _CONFIG_OPTIONS:
            yield from (word,) if "=" in word else (word, next(words, ""))
