"""The data that travel in the page as JSON: every run in full, every chart's rows. Never imports torch."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sweeps.record.files import to_json
from sweeps.record.records import RunRecord
from sweeps.report.content import Content, Entry, command_line, link, objective_of, repeat_line
from sweeps.report.panels import Figure
from sweeps.results import format as text
from sweeps.results.ranking import sentences

SCHEMA = 2


def embedded(content: Content, figures: Mapping[str, Figure], *, base: Path, refresh: float | None) -> dict[str, Any]:
    """Settings in which all runs agree stand once, under `common`; curves are columns, a list for each metric."""
    common = _common(content.entries)
    environments: list[dict[str, Any]] = []
    runs = [_run(entry, common, environments, base) for entry in content.entries]
    return {
        "schema": SCHEMA,
        "ranked_on": sentences(content.rows),
        "objective": objective_of(content.objective),
        "axes": [axis.key for axis in content.axes],
        "colours": {name: look.colour for name, look in content.looks.items()},
        "common": common,
        "environments": environments,
        "runs": runs,
        "charts": {name: figure.rows for name, figure in figures.items()},
        "refresh": refresh,
    }


def _run(entry: Entry, common: dict[str, Any], environments: list[dict[str, Any]], base: Path) -> dict[str, Any]:
    row, record = entry.row, entry.record
    return {
        "key": entry.key,
        "name": row.name,
        "sweep": row.sweep,
        "seed": row.seed,
        "status": row.status,
        "rank": row.rank,
        "is_best": row.is_best,
        "value": row.value,
        "objective": objective_of(row.objective),
        "steps": row.steps,
        "seconds": row.seconds,
        "path": str(row.path),
        "link": link(row.path, base),
        "problem": " ".join(part for part in (row.problem_kind, row.problem or entry.trouble) if part),
        "settings": {key: value for key, value in row.settings.items() if key not in common},
        "metrics": dict(_columns(entry.reports)),
        **(_of_record(record, environments) if record is not None else {}),
    }


def _of_record(record: RunRecord, environments: list[dict[str, Any]]) -> dict[str, Any]:
    shared = dict(record.environment)
    command = command_line(shared.pop("command", None))
    if shared not in environments:
        environments.append(shared)
    return {
        "repeat": repeat_line(record),
        "command": command,
        "run_id": record.run_id,
        "setting_id": record.setting_id,
        "facts": {text.clean(key): value for key, value in record.facts.items()},
        "max_steps": record.max_steps,
        "peak_memory": record.peak_memory,
        "started": record.started,
        "ended": record.ended,
        "attempts": record.attempts,
        "environment": environments.index(shared),
        "traceback": record.error.traceback if record.error is not None else "",
    }


def _columns(reports: Sequence[dict[str, Any]]) -> Iterator[tuple[str, list[Any]]]:
    for key in dict.fromkeys(key for row in reports for key in row):
        yield text.clean(key), [row.get(key) for row in reports]


def _common(entries: Sequence[Entry]) -> dict[str, Any]:
    """The settings that every readable run has, with the same value."""
    known = [entry.row.settings for entry in entries if entry.record is not None]
    if len(known) < 2:
        return {}
    return {
        key: value
        for key, value in known[0].items()
        if all(key in settings and to_json(settings[key]) == to_json(value) for settings in known[1:])
    }
