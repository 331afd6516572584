"""The facts that travel in the page as JSON: every run in full, every chart's rows. Never imports torch."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sweeps.record.files import to_json
from sweeps.record.records import RunRecord
from sweeps.report.content import Content, Entry, command_line, repeat_line
from sweeps.report.figures import Figure
from sweeps.results import format as text
from sweeps.results.palette import look_of
from sweeps.results.ranking import is_best, sentences

SCHEMA = 1


def embedded(content: Content, figures: Sequence[Figure], *, base: Path, refresh: float | None) -> dict[str, Any]:
    """Settings in which all runs agree stand once, under `common`; curves are columns, a list for each figure."""
    common = _common(content.entries)
    environments: list[dict[str, Any]] = []
    runs = [_run(entry, common, environments, base) for entry in content.entries]
    return {
        "schema": SCHEMA,
        "ranked_on": sentences(content.rows),
        "objective": content.criterion._asdict() if content.criterion else None,
        "colours": {model: look_of(model).colour for model in content.models},
        "common": common,
        "environments": environments,
        "runs": runs,
        "charts": {figure.name: figure.rows for figure in figures},
        "refresh": refresh,
    }


def _run(entry: Entry, common: dict[str, Any], environments: list[dict[str, Any]], base: Path) -> dict[str, Any]:
    row, record = entry.row, entry.record
    return {
        "key": entry.key,
        "name": row.name,
        "sweep": row.sweep,
        "model": row.model,
        "lr": row.lr,
        "seed": row.seed,
        "status": row.status,
        "rank": row.rank,
        "is_best": is_best(row),
        "value": row.value,
        "objective": row.criterion._asdict() if row.criterion else None,
        "parameters": row.parameters,
        "seconds": row.seconds,
        "examples_per_second": row.examples_per_second,
        "path": str(row.path),
        "link": quote(Path(os.path.relpath(row.path, base)).as_posix()) + "/",
        "problem": " ".join(part for part in (row.problem_kind, row.problem or entry.trouble) if part),
        "settings": {key: value for key, value in row.settings.items() if key not in common},
        "metrics": dict(_columns(entry.epochs)),
        **(_of_record(record, environments) if record is not None else {}),
    }


def _of_record(record: RunRecord, environments: list[dict[str, Any]]) -> dict[str, Any]:
    shared = dict(record.environment) if isinstance(record.environment, dict) else {}
    command = command_line(shared.pop("command", None))
    if shared not in environments:
        environments.append(shared)
    return {
        "repeat": repeat_line(record),
        "command": command,
        "run_id": record.run_id,
        "forward_macs": text.whole(record.forward_macs),
        "peak_memory": text.whole(record.peak_memory),
        "data_order": record.data_order,
        "started": record.started,
        "ended": record.ended,
        "attempts": record.attempts,
        "environment": environments.index(shared),
        "traceback": record.error.traceback if record.error is not None else "",
    }


def _columns(epochs: Sequence[dict[str, Any]]) -> Iterator[tuple[str, list[Any]]]:
    for key in dict.fromkeys(key for row in epochs for key in row):
        yield text.clean(key), [row.get(key) for row in epochs]


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
