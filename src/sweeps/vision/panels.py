"""What the report shows of image classifiers: confusion matrices, the most frequent mistakes. Never imports torch."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sweeps import RecordError
from sweeps.config import lookup
from sweeps.record.records import RunRecord, Status
from sweeps.report import Content, Figure, Images, Panel, Text
from sweeps.vision import confusion
from sweeps.vision.confusion import Confusion

MOST_CLASSES = 100  # of a confusion matrix that is drawn: it has a square for each pair of them
_SQUARE = 34  # pixels


def panels(runs: list[tuple[Path, RunRecord]]) -> list[Panel]:
    """The confusion matrix of each network's best run that has left one; a function for `sweep.hooks.panels`."""
    content: list[Content] = []
    for place, (path, network, found) in enumerate(_best_of_each_network(runs), start=1):
        rows = _rows(found)
        says = (
            f"True classes down, predicted classes across: counts on the {found.split} images, shaded by their share."
        )
        title, chart = f"Confusion matrix: {network}", _chart(rows, found.labels)
        content.append(Figure(f"confusion_{place}_{network}", title, says, rows, chart, run=path))
        if found.pairs:
            mistakes = [(f"{found.title(pair.true, pair.guess)}: {pair.count}", pair.images) for pair in found.pairs]
            content.append(Images(f"Most frequent mistakes: {network}", mistakes, run=path))
    if content:
        return [Panel("Confusion matrix", [Text("The best run of each network."), *content])]
    return [Panel("Confusion matrix", [Text("No completed run has left a confusion.json.")])]


def _best_of_each_network(runs: Sequence[tuple[Path, RunRecord]]) -> Iterator[tuple[Path, str, Confusion]]:
    """A damaged file counts as none, as does one of more classes than a chart can show."""
    seen: set[str] = set()
    for path, record in runs:
        network = str(lookup(record.config, "model._target_") or "").rpartition(".")[2] or "model"
        if record.status is Status.COMPLETED and network not in seen:
            try:
                found = confusion.read(path)
            except RecordError:
                continue
            if found is not None and len(found.labels) <= MOST_CLASSES:
                seen.add(network)
                yield path, network, found


def _rows(found: Confusion) -> list[dict[str, Any]]:
    """Every entry of a confusion matrix, with its share of the images of its class."""
    names = [f"{place} {label}" for place, label in enumerate(found.labels)]
    rows = []
    for true, counts in enumerate(found.counts):
        for guess, count in enumerate(counts):
            says = f"{found.title(true, guess)}: {count} of {sum(counts)}"
            share = count / max(sum(counts), 1)
            rows.append({"true": names[true], "guess": names[guess], "count": count, "share": share, "says": says})
    return rows


def _chart(rows: list[dict[str, Any]], labels: Sequence[str]) -> Any:
    import altair as alt  # a part of the extra [report], which is there where a report is made

    in_order = [f"{place} {label}" for place, label in enumerate(labels)]
    x = alt.X("guess:N", title="predicted", sort=in_order).axis(
        labelAngle=-60, labelLimit=110, labelOverlap=False, grid=False
    )
    y = alt.Y("true:N", title="true", sort=in_order).axis(labelLimit=110, grid=False)
    shade = alt.Color("share:Q", title="share", legend=None).scale(domain=[0, 1], scheme="blues")
    base = alt.Chart(alt.InlineData(values=rows))
    squares = base.mark_rect(stroke="#ffffff").encode(x=x, y=y, color=shade, description="says:N")
    ink = alt.when("datum.share > 0.5").then(alt.value("#ffffff")).otherwise(alt.value("#000000"))
    seen = alt.Chart(alt.InlineData(values=[row for row in rows if row["count"]]))
    words = seen.mark_text(fontSize=9).encode(x=x, y=y, text="count:N", color=ink)
    return alt.layer(squares, words).properties(width=alt.Step(_SQUARE), height=alt.Step(_SQUARE * 0.75))
