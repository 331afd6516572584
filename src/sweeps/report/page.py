"""The page: one HTML file that needs nothing else. All that a record holds is text in it. Never imports torch."""

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
from sweeps.report.content import Content
from sweeps.report.embedded import command_line, embedded, link
from sweeps.report.panels import Figure, Images, Panel, Table, Text
from sweeps.report.render import Picture
from sweeps.results import format as text
from sweeps.results.advice import advice
from sweeps.results.ranking import objectives, saved_by_pruning, sentences, tally
from sweeps.results.table import Head, Line
from sweeps.results.tables import settings_table
from sweeps.terminal import printable

_MOST_WORDS = 400  # rows of a chart that are also printed as a list
_DIFFS = 500_000  # characters of all diffs together


def page(
    content: Content,
    pictures: Sequence[Picture],
    panels: Sequence[Panel],
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
    rows = content.rows
    script, style = (
        resources.files("sweeps.report").joinpath(name).read_text("utf-8") for name in ("page.js", "page.css")
    )
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    data = to_json(embedded(content, pictures, base=base, refresh=refresh))  # in which no tag can begin:
    data = data.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    pruned = saved_by_pruning(rows) if any(row.status == Status.PRUNED for row in rows) else ""
    found = [(one, one.row.problem if one.row.is_troubled else one.trouble) for one in content.entries]
    problems = [(one, text.clean(f"{one.row.problem_kind}: {says}".removeprefix(": "))) for one, says in found if says]
    charts = {id(picture.figure): _chart(picture, content) for picture in pictures}
    shown = [_panel(panel, charts, content) for panel in panels]  # takes its charts from among them
    return _environment().get_template("page.html").render(
        policy=f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'",
        style=Markup(style),
        script=Markup(script),
        data=Markup(data),
        title=", ".join(dict.fromkeys(row.sweep for row in rows if row.sweep)) or "runs",
        tally=tally(rows),
        made=made,
        sentences=[*sentences(rows, "setting" if content.has_repeats else "run"), pruned and f"Pruning: {pruned}"],
        is_on_test_set=any(row.has_result and row.objective and row.objective.split == "test" for row in rows),
        settings=settings_table(rows, content.judged),
        advice=advice(rows, content.judged),
        content=content,
        categories=list(dict.fromkeys(map(content.category, rows))),
        statuses=list(dict.fromkeys(row.status for row in rows)),
        link=lambda row: link(row.path, base),
        problems=problems,
        has_others=len(objectives(rows)) > 1,
        panels=shown,
        charts=list(charts.values()),
        invocations=list(_invocations(content)),
    )  # fmt: skip


def _environment() -> Environment:
    """Templates in which every value is printable, and escaped unless this package made it as markup."""
    environment = Environment(
        loader=PackageLoader("sweeps.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: value if isinstance(value, Markup) or not isinstance(value, str) else printable(value),
    )
    environment.filters.update(sortable=_sortable, plural=text.plural)
    return environment


def _sortable(value: Any) -> str:
    """What the script sorts a column by."""
    number = text.number(value)
    return repr(number) if number is not None else "" if value is None else text.clean(value)


def _chart(picture: Picture, content: Content) -> Mapping[str, Any]:
    figure = picture.figure
    # Links of a chart are for pointers: with hundreds of them a keyboard would never get past it.
    svg = Markup(picture.svg.replace("<a ", '<a tabindex="-1" '))
    words = [str(row.get("says", "")) for row in figure.rows] if len(figure.rows) <= _MOST_WORDS else []
    return {"name": picture.name, "of": figure, "svg": svg, "words": words, "run": content.entry_of(figure.run)}


def _panel(panel: Panel, charts: dict[int, Mapping[str, Any]], content: Content) -> Mapping[str, Any]:
    """A panel as the template reads it; its charts are taken out of `charts`."""
    texts, tables, boxes = [], [], list[Mapping[str, Any]]()
    for one in panel.content:
        if isinstance(one, Text):
            texts.append(one.text)
        elif isinstance(one, Table):
            heads = [Head(text.clean(head), right=False) for head in one.heads]
            tables.append((heads, [Line([text.metric(cell) for cell in row]) for row in one.rows]))
        elif isinstance(one, Images):
            items = [(caption, [base64.b64encode(image).decode() for image in images]) for caption, images in one.items]
            boxes.append({"of": one, "images": items, "run": content.entry_of(one.run)})
        elif isinstance(one, Figure) and id(one) in charts:
            boxes.append(charts.pop(id(one)))
    return {"title": panel.title, "texts": texts, "tables": tables, "boxes": boxes}


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
        where = f"on {one.get('device')} ({one.get('platform')}, Python {one.get('python')})"
        versions = [f"{name} {version}" for name, version in packages.items()] if isinstance(packages, dict) else []
        facts = text.clean("; ".join([f"started {one.get('began')}", code, where, ", ".join(versions)]))
        command = text.clean(command_line(one.get("command")))
        yield {"command": command, "facts": facts, "diff": shown, "note": note if diff else ""}
        seen.add(diff)
