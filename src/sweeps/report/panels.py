"""Sections of the page that an application adds: what they are made of, and how they are asked for. No torch here."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweeps.config import MOUNT, lookup
from sweeps.errors import ConfigError
from sweeps.record.files import to_json
from sweeps.record.records import RunRecord
from sweeps.targets import named
from sweeps.terminal import clean

PNG = b"\x89PNG\r\n\x1a\n"
_MOST = 200  # panels of one function
_KEY = "sweep.hooks.panels"


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Table:
    """A heading for each column, and rows of as many values."""

    heads: Sequence[str]
    rows: Sequence[Sequence[object]]


@dataclass(frozen=True)
class Images:
    """A list of captions with PNG images, such as examples of what went wrong; `run` is the folder of their run."""

    title: str
    items: Sequence[tuple[str, Sequence[bytes]]]
    run: Path | None = None

    def __post_init__(self) -> None:
        """Whatever is no PNG file is an error here rather than a broken image in the page."""
        if not all(image.startswith(PNG) for _, images in self.items for image in images):
            raise ValueError(f"an image of {self.title!r} is not a PNG file")


@dataclass(frozen=True)
class Figure:
    """A chart: an Altair chart, or a Vega-Lite specification, that holds its own data.

    `name` is that of its files (SVG, PDF, PNG), `says` the caption. Each of `rows` has `says`, its content in words for
    those who do not see the chart. `wide` takes the width of the page. `run` is the folder of the run that it is about.
    """

    name: str
    title: str
    says: str
    rows: Sequence[dict[str, Any]]
    chart: Any
    wide: bool = False
    run: Path | None = None

    def __post_init__(self) -> None:
        """Names of metrics and settings come from records: only what a file may be called is kept of them."""
        object.__setattr__(self, "name", re.sub(r"[^A-Za-z0-9_]", "_", self.name)[:80])

    def spec(self) -> dict[str, Any]:
        """The chart as a Vega-Lite specification."""
        return self.chart if isinstance(self.chart, dict) else self.chart.to_dict()


Content = Text | Table | Images | Figure


@dataclass(frozen=True)
class Panel:
    """A section of the page."""

    title: str
    content: Sequence[Content] = field(default_factory=tuple)


def panels_of(runs: Sequence[tuple[Path, RunRecord]]) -> Iterator[Panel]:
    """The panels of every function that the records name.

    Anybody may have written a record: a function is called only where `sweeps.targets` allows it. One that is not, or
    that fails, has a panel that says so.
    """
    by_name: dict[str, list[tuple[Path, RunRecord]]] = {}
    for path, record in runs:
        name = lookup(record.config, f"{record.ignore[0] if record.ignore else MOUNT}.hooks.panels")
        if name is not None:
            by_name.setdefault(str(name), []).append((path, record))
    for name, of in by_name.items():
        try:
            if "." not in name:
                raise ConfigError(f"{_KEY}={name} is invalid: name it in full, such as {_KEY}=mypackage.panels.{name}")
            found = _checked(list(named(name, _KEY)(of))[:_MOST])
        except (Exception, SystemExit) as error:  # the page is about the runs, and does without
            what = "" if isinstance(error, ConfigError) else f"{_KEY}={name} failed: {type(error).__name__}: "
            found = [Panel("Panels left out", [Text(clean(f"{what}{error}")[:600])])]
        yield from found


def _checked(panels: Sequence[object]) -> list[Panel]:
    checked = []
    for panel in panels:
        if not isinstance(panel, Panel) or not all(isinstance(one, Content) for one in panel.content):
            raise TypeError(f"{clean(panel)[:60]} is not a Panel of Text, Table, Images and Figure")
        if any(len(row) != len(one.heads) for one in panel.content if isinstance(one, Table) for row in one.rows):
            raise ValueError(f"the rows of a table in {panel.title!r} do not have as many values as it has heads")
        for figure in figures_in([panel]):  # an error in it is the panel's, and not one of the page
            to_json([figure.spec(), *figure.rows])
        checked.append(panel)
    return checked


def figures_in(panels: Sequence[Panel]) -> Iterator[Figure]:
    """Every chart of these panels."""
    return (one for panel in panels for one in panel.content if isinstance(one, Figure))
