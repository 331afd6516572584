"""The page: one HTML file that needs nothing else. Whatever comes from a record is text in it. Never imports torch."""

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from sweeps.record.files import to_json
from sweeps.record.records import Status
from sweeps.report.content import Content, Entry, command_line, link
from sweeps.report.embedded import embedded
from sweeps.report.panels import Figure, Images, Panel, Table, Text
from sweeps.report.render import Picture
from sweeps.results import format as text
from sweeps.results.advice import advice
from sweeps.results.ranking import saved_by_pruning, sentences, tally
from sweeps.results.tables import settings_table
from sweeps.terminal import printable

_MOST_WORDS = 400  # rows of a chart that are also printed as a list
_DIFFS = 500_000  # characters of all diffs together


def page(
    content: Content,
    pictures: Sequence[Picture],
    panels: Sequence[Panel] = (),
    *,
    base: Path,
    made: str,
    refresh: float | None = None,
) -> str:
    """The whole page.

    Args:
        pictures: every chart that could be drawn, those of `panels` included.
        base: the folder that the page will lie in; links to runs are relative to it.
        made: when, for people.
        refresh: seconds after which an open page looks for a newer one; None never does.
    """
    script = _asset("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    data = embedded(content, {picture.name: picture.figure for picture in pictures}, base=base, refresh=refresh)
    own = {id(one) for panel in panels for one in panel.content}
    by_figure = {id(picture.figure): picture for picture in pictures}
    entries = {entry.row.path: entry for entry in content.entries}
    return _environment().get_template("page.html").render(
        policy=f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'",
        style=Markup(_asset("page.css")),
        script=Markup(script),
        data=Markup(_in_script(data)),
        made=made,
        charts=[_chart(picture, entries) for picture in pictures if id(picture.figure) not in own],
        panels=[_panel(panel, by_figure, entries) for panel in panels],
        **_summary(content),
        **_table(content, base),
        invocations=list(_invocations(content)),
    )  # fmt: skip


def _environment() -> Environment:
    """Templates in which every value is printable, and escaped unless this package made it as markup."""
    return Environment(
        loader=PackageLoader("sweeps.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: value if isinstance(value, Markup) or not isinstance(value, str) else printable(value),
    )


def _summary(content: Content) -> Mapping[str, Any]:
    """What stands above the table, and the problems below it."""
    rows = content.rows
    pruned = saved_by_pruning(rows) if any(row.status == Status.PRUNED for row in rows) else ""
    found = [(entry, entry.row.problem if entry.row.is_troubled else entry.trouble) for entry in content.entries]
    problems = [
        (entry, f"{entry.row.problem_kind}: {problem}" if entry.row.problem_kind else problem)
        for entry, problem in found
        if problem
    ]
    sheet = settings_table(rows, content.groups)
    settings = sheet and {
        "title": sheet.title,
        "heads": sheet.heads,
        "lines": [{"is_best": bool(line.style), "cells": line.cells} for line in sheet.lines],
        "notes": sheet.notes,
    }
    is_mixed = len({entry.row.objective for entry in content.entries if entry.row.objective}) > 1
    return {
        "title": ", ".join(dict.fromkeys(row.sweep for row in rows if row.sweep)) or "runs",
        "tally": tally(rows),
        "sentences": [
            *sentences(rows, "setting" if content.has_repeats else "run"),
            *[f"Pruning: {pruned}"][: bool(pruned)],
        ],
        "is_on_test_set": any(row.has_result and row.objective and row.objective.split == "test" for row in rows),
        "settings": settings,
        "advice": advice(rows, content.groups),
        "problems": [(entry, text.clean(problem)) for entry, problem in problems],
        "problem_count": text.plural(len(problems), "run"),
        "compared_by": content.name if is_mixed else "",
    }


def _table(content: Content, base: Path) -> Mapping[str, Any]:
    """The table of runs and what it is filtered by."""
    heads = [("#", True, False), ("run", False, False)]
    heads += [(column.header.replace("\n", " "), column.right, column.largest_first) for column in content.columns]
    known = [("status", "status", list(dict.fromkeys(row.status for row in content.rows)))]
    if content.colour:
        categories = list(dict.fromkeys(map(content.category, content.rows)))
        known.insert(0, ("category", content.colour.title, categories))
    return {
        "count": text.plural(len(content.entries), "run"),
        "selects": [{"name": name, "title": title, "known": of} for name, title, of in known],
        "heads": [{"text": head, "right": right, "largest_first": first} for head, right, first in heads],
        "runs": [_line(entry, content, base) for entry in content.entries],
    }


def _line(entry: Entry, content: Content, base: Path) -> Mapping[str, Any]:
    row = entry.row
    look = content.looks.get(content.category(row))
    return {
        "key": entry.key,
        "name": row.name,
        "label": entry.label,
        "status": row.status,
        "category": content.category(row),
        "rank": "" if row.rank is None else row.rank,
        "is_best": row.is_best and not content.has_repeats,
        "link": link(row.path, base),
        "cells": [
            {
                "sort": _sortable(column.get(row)),
                "shown": column.show(row),
                "right": column.right,
                "colour": look.colour if look and content.colour and column.key == content.colour.key else "",
            }
            for column in content.columns
        ],
    }


def _sortable(value: Any) -> str:
    number = text.number(value)
    return repr(number) if number is not None else "" if value is None else text.clean(value)


def _chart(picture: Picture, entries: Mapping[Path, Entry]) -> Mapping[str, Any]:
    figure = picture.figure
    # Links of a chart are for pointers: with hundreds of them a keyboard would never get past it.
    svg = Markup(picture.svg.replace("<a ", '<a tabindex="-1" '))
    words = [str(row.get("says", "")) for row in figure.rows] if len(figure.rows) <= _MOST_WORDS else []
    shared = {"name": picture.name, "title": figure.title, "says": figure.says, "wide": figure.wide}
    return {**shared, "svg": svg, "words": words, "run": entries.get(figure.run) if figure.run else None}


def _panel(panel: Panel, by_figure: Mapping[int, Picture], entries: Mapping[Path, Entry]) -> Mapping[str, Any]:
    boxes = [
        _chart(by_figure[id(one)], entries) if isinstance(one, Figure) else _images(one, entries)
        for one in panel.content
        if isinstance(one, Images) or (isinstance(one, Figure) and id(one) in by_figure)
    ]
    tables = [
        {
            "heads": [{"text": text.clean(head), "right": False} for head in one.heads],
            "lines": [{"is_best": False, "cells": [text.metric(cell) for cell in row]} for row in one.rows],
        }
        for one in panel.content
        if isinstance(one, Table)
    ]
    texts = [one for one in panel.content if isinstance(one, Text)]
    return {"title": panel.title, "texts": texts, "tables": tables, "boxes": boxes}


def _images(one: Images, entries: Mapping[Path, Entry]) -> Mapping[str, Any]:
    items = [
        {"caption": caption, "images": [base64.b64encode(image).decode() for image in images]}
        for caption, images in one.items
    ]
    return {"title": one.title, "lines": items, "run": entries.get(one.run) if one.run else None, "svg": ""}


def _invocations(content: Content) -> Iterator[Mapping[str, str]]:
    """Every start of the sweep: command, code, device, versions, and what the code had changed."""
    room, seen = _DIFFS, set[str]()
    for one in content.invocations:
        diff = str(one.get("diff") or "")
        shown = diff if diff not in seen and len(diff) <= room else ""
        room -= len(shown)
        note = "The same changes as above." if diff in seen else "The changes are in sweep.json."
        git, packages = one.get("git"), one.get("packages")
        code = f"commit {git.get('commit')}" if isinstance(git, dict) else "an installed package"
        code += " with changes" if isinstance(git, dict) and git.get("dirty") else ""
        versions = [f"{name} {version}" for name, version in packages.items()] if isinstance(packages, dict) else []
        facts = [
            f"started {one.get('began')}",
            code,
            f"on {one.get('device')} ({one.get('platform')}, Python {one.get('python')})",
            ", ".join(versions),
        ]
        command, told = text.clean(command_line(one.get("command"))), text.clean("; ".join(facts))
        yield {"command": command, "facts": told, "diff": shown, "note": note if diff else ""}
        seen.add(diff)


def _asset(name: str) -> str:
    return resources.files("sweeps.report").joinpath(name).read_text(encoding="utf-8")


def _in_script(data: Mapping[str, Any]) -> str:
    """JSON in which no tag can begin."""
    return to_json(data).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
