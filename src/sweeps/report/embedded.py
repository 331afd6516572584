"""The data that travel in the page as JSON: every run in full, every chart's rows. Never imports torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sweeps.record.files import to_json
from sweeps.report.content import Content, Entry, command_line, link, repeat_line
from sweeps.report.render import Picture
from sweeps.results import format as text
from sweeps.results.ranking import sentences
from sweeps.results.runs import Objective

SCHEMA = 2
_OF_ROW = ("name", "sweep", "seed", "status", "rank", "is_best", "value", "steps", "max_steps", "seconds", "facts")
_OF_RECORD = ("run_id", "setting_id", "peak_memory", "started", "ended", "attempts")


def embedded(content: Content, pictures: Sequence[Picture], *, base: Path, refresh: float | None) -> dict[str, Any]:
    """Settings that are the same in all runs are under `common`; curves are columns, a list for each metric."""
    common = _common(content.entries)
    environments: list[dict[str, Any]] = []
    return {
        "schema": SCHEMA,
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
    row, record = entry.row, entry.record
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
        found |= {"repeat": repeat_line(record), "command": command, "environment": environments.index(shared)}
        found["traceback"] = record.error.traceback if record.error is not None else ""
    return found


def _objective(objective: Objective | None) -> dict[str, str] | None:
    return {**objective._asdict(), "name": objective.name} if objective else None


def _common(entries: Sequence[Entry]) -> dict[str, Any]:
    """The settings that every readable run has, with the same value."""
    first, *others = [entry.row.settings for entry in entries if entry.record is not None] or [{}]
    if not others:
        return {}
    texts = [{key: to_json(value) for key, value in settings.items()} for settings in others]
    return {key: value for key, value in first.items() if all(one.get(key) == to_json(value) for one in texts)}
