"""The page: one HTML file that needs nothing else. Whatever comes from a record is text in it. Never imports torch."""

import base64
import hashlib
import os
from collections.abc import Iterator, Sequence
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sweeps.record.files import to_json
from sweeps.record.records import Status
from sweeps.report.content import Content, Entry
from sweeps.report.embedded import embedded
from sweeps.report.provenance import provenance
from sweeps.report.render import Picture
from sweeps.results import format as text
from sweeps.results.advice import advice
from sweeps.results.palette import look_of
from sweeps.results.ranking import criteria, is_best, saved_by_pruning, sentences, tally
from sweeps.results.table import Sheet
from sweeps.results.tables import cells_table
from sweeps.vision.confusion import Confusion

_RIGHT = ' class="right"'
_TABLE_LIMIT = 400  # rows of a chart that are also printed as a table


def page(content: Content, pictures: Sequence[Picture], *, base: Path, made: str, refresh: float | None = None) -> str:
    """The whole page.

    Args:
        base: the folder that it will lie in; links to runs are relative to it.
        made: when, for people.
        refresh: seconds after which an open page looks for a newer one; None never does.
    """
    style, script = _asset("page.css"), _asset("page.js")
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src '{_hash(script)}'"
    title = ", ".join(dict.fromkeys(entry.row.sweep or "runs" for entry in content.entries))
    body = "\n".join(_body(content, pictures, base=base, made=made, title=title))
    facts = _in_script(embedded(content, [picture.figure for picture in pictures], base=base, refresh=refresh))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{escape(title)} - sweeps</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
{body}
<script type="application/json" id="data">{facts}</script>
<script>{script}</script>
</body>
</html>
"""


def _body(content: Content, pictures: Sequence[Picture], *, base: Path, made: str, title: str) -> Iterator[str]:
    rows = content.rows
    yield '<a class="skip" href="#table">To the table</a>'
    yield f'<header><h1>{escape(title)}</h1><p class="tally">{escape(tally(rows))}. Page made {escape(made)}.</p>'
    saved = [saved_by_pruning(rows)] if any(row.status == Status.PRUNED for row in rows) else []
    for sentence in [*sentences(rows, "cell" if content.has_repeats else "run"), *saved]:
        yield f"<p>{escape(sentence)}</p>"
    if any(row.has_result and row.criterion and row.criterion.split == "test" for row in rows):
        yield (
            '<p class="warning"><strong>Chosen on the test set.</strong> The best figures below flatter: whatever is '
            "chosen by looking at the test images cannot be measured on them any more. With "
            "<code>dataset.validation=0.1</code> runs are chosen on images of their own.</p>"
        )
    yield '<button type="button" id="theme" class="js">Light or dark</button></header><main>'
    yield from _cells(content)
    yield from _advice(content)
    yield from _table(content, base)
    yield from _problems(content)
    yield from _charts(content, [one for one in pictures if not one.figure.name.startswith("confusion_")])
    yield from _confusions(content, {one.figure.name: one for one in pictures})
    yield _DIFFERENCES
    yield from provenance(content)
    yield "</main>"
    yield '<dialog id="details" aria-labelledby="details-title"><div id="details-body"></div></dialog>'


_DIFFERENCES = """<section id="differences" class="js"><h2>Two runs side by side</h2>
<p>What differs between the settings of two runs.</p>
<p class="controls"><label>Run <select id="left"></select></label>
<label>against <select id="right"></select></label></p>
<div id="difference" aria-live="polite"></div></section>"""


def _cells(content: Content) -> Iterator[str]:
    sheet = cells_table(content.rows, content.cells)
    if sheet is not None:
        yield '<section id="cells"><h2>Cells over their seeds</h2>'
        yield from _sheet(sheet)
        yield "</section>"


def _sheet(sheet: Sheet) -> Iterator[str]:
    yield f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(sheet.title)}"><table><thead><tr>'
    for head in sheet.heads:
        yield f'<th scope="col"{_RIGHT if head.right else ""}>{escape(head.text)}</th>'
    yield "</tr></thead><tbody>"
    for line in sheet.lines:
        yield '<tr class="best">' if line.style else "<tr>"
        for head, cell in zip(sheet.heads, line.cells, strict=True):
            yield f"<td{_RIGHT if head.right else ''}>{escape(cell)}</td>"
        yield "</tr>"
    yield "</tbody></table></div>"
    for note in sheet.notes:
        yield f"<p>{escape(note)}</p>"


def _advice(content: Content) -> Iterator[str]:
    found = advice(content.rows, content.cells)
    if found:
        items = "".join(f"<li>{escape(sentence)}</li>" for sentence in found)
        yield f'<section id="advice"><h2>Advice</h2><ul>{items}</ul></section>'


def _table(content: Content, base: Path) -> Iterator[str]:
    models = dict.fromkeys(row.model for row in content.rows)
    statuses = dict.fromkeys(row.status for row in content.rows)
    yield '<section id="table"><h2>Runs</h2><p class="controls js">'
    yield '<label>Search <input id="filter" type="search" placeholder="alexnet 0.01"></label>'
    for name, known in (("model", models), ("status", statuses)):
        options = "".join(f"<option>{escape(one)}</option>" for one in known)
        yield f'<label>{name} <select id="only-{name}"><option value="">all</option>{options}</select></label>'
    yield f'<output id="shown" aria-live="polite">{text.plural(len(content.entries), "run")}</output></p>'
    yield '<div class="scroll" tabindex="0" role="region" aria-label="Table of runs"><table id="runs"><thead><tr>'
    heads = [("#", True, False), ("run", False, False)]
    heads += [(column.header.replace("\n", " "), column.right, column.largest_first) for column in content.columns]
    for head, right, largest_first in heads:
        kind = ' class="right"' if right else ""
        order = ' data-first="descending"' if largest_first else ""
        yield f'<th scope="col"{kind}{order}><button type="button">{escape(head)}</button></th>'
    yield "</tr></thead><tbody>"
    for entry in content.entries:
        yield _line(entry, content, base)
    yield "</tbody></table></div></section>"


def _line(entry: Entry, content: Content, base: Path) -> str:
    row = entry.row
    starred = is_best(row) and not content.has_repeats
    mark = '<span aria-label="the best">★</span> ' if starred else ""
    cells = [
        _cell(row.rank, f"{mark}{text.BLANK if row.rank is None else row.rank}", True),
        f'<th scope="row" data-v="{escape(row.name)}">'
        f'<a href="{escape(link(row.path, base))}" title="{escape(row.name)}">'
        f"{escape(entry.label)}</a> "
        f'<button type="button" class="js more" aria-label="Details of {escape(row.name)}">…</button></th>',
    ]
    for column in content.columns:
        shown = escape(column.show(row))
        if column.key == "model":
            shown = f'<span class="swatch" style="background:{look_of(row.model).colour}"></span>{shown}'
        cells.append(_cell(column.get(row), shown, column.right))
    kinds = f"{row.status}{' best' if starred else ''}"
    return (
        f'<tr id="{entry.key}" class="{escape(kinds)}" data-name="{escape(row.name)}" data-model="{escape(row.model)}" '
        f'data-status="{escape(row.status)}">{"".join(cells)}</tr>'
    )


def _cell(value: Any, shown: str, right: bool) -> str:
    figure = text.number(value)
    sort = repr(figure) if figure is not None else "" if value is None else text.clean(value)
    kind = ' class="right"' if right else ""
    return f'<td data-v="{escape(sort)}"{kind}>{shown}</td>'


def _problems(content: Content) -> Iterator[str]:
    found = [(entry, entry.row.problem if entry.row.is_troubled else entry.trouble) for entry in content.entries]
    troubled = [(entry, problem) for entry, problem in found if problem]
    if not troubled:
        return
    yield f'<section id="problems"><h2>{text.plural(len(troubled), "run")} with a problem</h2><ul>'
    for entry, problem in troubled:
        kind = f"{entry.row.problem_kind}: " if entry.row.problem_kind else ""
        what = escape(f"{kind}{text.clean(problem)}")
        yield f'<li><a href="#{entry.key}">{escape(entry.row.name)}</a> {what}</li>'
    yield "</ul></section>"


def _charts(content: Content, pictures: Sequence[Picture]) -> Iterator[str]:
    yield '<section id="charts"><h2>Charts</h2>'
    if not pictures:
        yield "<p>There is nothing to draw yet: no run has a figure.</p>"
    elif content.criterion is not None and len(criteria(content.rows)) > 1:
        yield f"<p>Of the runs that are ranked by {escape(content.criterion.metric)}; others do not compare.</p>"
    yield '<div class="figures">'
    for picture in pictures:
        yield _figure(picture)
    yield "</div></section>"


def _figure(picture: Picture) -> str:
    figure = picture.figure
    wide = ' class="wide"' if figure.wide else ""
    title = escape(figure.title)
    return (
        f'<figure id="{figure.name}"{wide}><h3>{title}</h3>'
        f'<div class="chart scroll" role="group" aria-label="{title}">{_without_stops(picture.svg)}</div>'
        f"<figcaption>{escape(figure.says)}</figcaption>{_numbers(figure.rows)}</figure>"
    )


def _without_stops(svg: str) -> str:
    """Links of a chart are for pointers: with hundreds of them a keyboard would never come to the end."""
    return svg.replace("<a ", '<a tabindex="-1" ')


def _numbers(rows: Sequence[dict[str, Any]]) -> str:
    """The chart for those who do not see it."""
    if len(rows) > _TABLE_LIMIT:
        return ""
    items = "".join(f"<li>{escape(row['says'])}</li>" for row in rows)
    return f"<details><summary>In words</summary><ul>{items}</ul></details>"


def _confusions(content: Content, pictures: dict[str, Picture]) -> Iterator[str]:
    found = list(content.confusions())
    yield '<section id="confusion"><h2>What is taken for what</h2>'
    if not found:
        yield "<p>No finished run has left a confusion.json.</p>"
    else:
        yield "<p>The best run of each network.</p>"
    yield '<div class="figures">'
    names = [name for name in pictures if name.startswith("confusion_")]
    for (entry, confusion), name in zip(found, names, strict=False):
        yield _figure(pictures[name]).replace("</figure>", f"{_pairs(entry, confusion)}</figure>")
    yield "</div></section>"


def _pairs(entry: Entry, confusion: Confusion) -> str:
    lines = []
    for pair in confusion.pairs:
        true, guess = escape(confusion.labels[pair.true]), escape(confusion.labels[pair.guess])
        shown = "".join(
            f'<img alt="{true}, taken for {guess}" src="data:image/png;base64,{base64.b64encode(image).decode()}">'
            for image in pair.images
        )
        lines.append(f"<li>{true} taken for {guess}: {pair.count}<br>{shown}</li>")
    run = f'<a href="#{entry.key}">{escape(entry.label)}</a>'
    return f'<h4>Most confused by {run}</h4><ol class="pairs">{"".join(lines)}</ol>' if lines else ""


def link(path: Path, base: Path) -> str:
    """The run's folder as a link from a page in `base`."""
    return quote(Path(os.path.relpath(path, base)).as_posix()) + "/"


def _asset(name: str) -> str:
    return resources.files("sweeps.report").joinpath(name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def _in_script(content: dict[str, Any]) -> str:
    """JSON in which no tag can begin."""
    return to_json(content).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
