"""Charts as pictures: SVG for the page, and SVG, PDF and PNG files for papers and slides. Never imports torch."""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import vl_convert

from sweeps.record.files import atomic_write, make_folder
from sweeps.report.panels import Figure
from sweeps.terminal import printable

COLUMN, BOTH = 84.0, 174.0  # millimetres: one column of a journal's page, and both
_POINTS = 72 / 25.4  # in a millimetre
_CONFIG = {
    "background": None,
    # What vl-convert measures text with; where a browser has none of them, `with_fixed_widths` makes another one fit.
    "font": "Arial, Helvetica, 'Liberation Sans', sans-serif",
    "view": {"stroke": None},
    "axis": {
        "grid": True,
        "gridColor": "#e4e4e4",
        "domainColor": "#888888",
        "tickColor": "#888888",
        "labelOverlap": True,
        "titlePadding": 8,
    },
    "header": {"labelFontSize": 11, "labelFontWeight": "bold"},
    "legend": {"labelLimit": 160},
}


@dataclass(frozen=True)
class Picture:
    """A drawn figure; its `name` is used once, and `svg` has no background of its own."""

    figure: Figure
    name: str
    svg: str


def draw(figures: Sequence[Figure]) -> list[Picture]:
    """Every figure as SVG, with ids of its own so that all of them fit into one page.

    One that cannot be drawn, of numbers that no axis has room for, is left out.
    """
    pictures: list[Picture] = []
    for figure in figures:
        taken = {picture.name for picture in pictures}
        names = (figure.name, *(f"{figure.name}_{place}" for place in range(2, len(figures) + 2)))
        name = next(name for name in names if name not in taken)
        spec = _printable({**figure.spec(), "config": _CONFIG})
        try:
            drawn = vl_convert.vegalite_to_svg(spec, allowed_base_urls=[])
        except ValueError:
            continue
        svg = _own_ids(with_fixed_widths(drawn), name)
        # vl-convert takes a link within the page for one to the site of Vega's examples; any other link goes nowhere.
        svg = re.sub(r'href="[^"#]*(#[^"]*)?"', lambda found: f'href="{found[1] or "#"}"', svg)
        pictures.append(Picture(figure, name, svg))
    return pictures


def save(pictures: Sequence[Picture], folder: Path, page: str) -> None:
    """Write each picture as SVG and PDF of a column's width and as PNG; links in the SVG lead to `page`."""
    make_folder(folder)
    for picture in pictures:
        name, width = picture.name, BOTH if picture.figure.wide else COLUMN
        svg = picture.svg.replace('href="#run-', f'href="{page}#run-')
        white = re.sub(r"(<svg[^>]*>)", r'\1<rect width="100%" height="100%" fill="white"/>', svg, count=1)
        contents = {
            "svg": _sized(svg, width, "mm").encode(),
            "pdf": vl_convert.svg_to_pdf(_sized(svg, width * _POINTS, "px")),  # a pixel becomes a point there
            "png": vl_convert.svg_to_png(white, scale=2),
        }
        for kind, content in contents.items():
            atomic_write(folder / f"{name}.{kind}", content, durable=False)


def _printable(node: Any) -> Any:
    """A chart without characters that XML does not have: vl-convert ends the whole process where it meets one."""
    if isinstance(node, str):
        return printable(node)
    if isinstance(node, dict):
        return {printable(key): _printable(value) for key, value in node.items()}
    return [_printable(item) for item in node] if isinstance(node, list) else node


def _sized(svg: str, width: float, unit: str) -> str:
    """The picture so many millimetres (mm) or pixels (px) wide."""

    def resize(match: re.Match[str]) -> str:
        pixels, height = float(match[2]), float(match[3])
        return f'{match[1]} width="{width:.2f}{unit}" height="{width * height / pixels:.2f}{unit}"'

    return re.sub(r'(<svg[^>]*?) width="([\d.]+)" height="([\d.]+)"', resize, svg, count=1)


def _own_ids(svg: str, name: str) -> str:
    for found in set(re.findall(r'\bid="([^"]+)"', svg)):
        svg = svg.replace(f'id="{found}"', f'id="{name}-{found}"').replace(f"url(#{found})", f"url(#{name}-{found})")
    return svg


# Arial's advance widths, which Helvetica and Liberation Sans share, in thousandths of the font size, from U+0020 on.
_PLAIN = [
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556, 556,
    556, 556, 556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667,
    556, 833, 722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556, 333, 556,
    556, 500, 556, 556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556, 556, 556, 333, 500, 278, 556, 500, 722,
    500, 500, 500, 334, 260, 334, 584,
]  # fmt: skip
_BOLD = [
    278, 333, 474, 556, 556, 889, 722, 238, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556, 556,
    556, 556, 556, 556, 333, 333, 584, 584, 584, 611, 975, 722, 722, 722, 722, 667, 611, 778, 722, 278, 556, 722,
    611, 833, 722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 333, 278, 333, 584, 556, 333, 556,
    611, 556, 611, 556, 333, 611, 611, 278, 278, 556, 278, 889, 611, 611, 611, 611, 389, 556, 333, 611, 556, 778,
    556, 556, 500, 389, 280, 389, 584,
]  # fmt: skip
_BEYOND = {"\N{HORIZONTAL ELLIPSIS}": 1000, "\N{MINUS SIGN}": 584, "\N{MULTIPLICATION SIGN}": 584, "\N{EN DASH}": 556}
_TEXT = re.compile(r'<text([^>]*? font-size="([\d.]+)px"[^>]*)>([^<]+)</text>')


def text_width(text: str, size: float, *, bold: bool = False) -> float | None:
    """The width of `text` in Arial of `size` pixels; None where it has a character whose width is not known here."""
    table = _BOLD if bold else _PLAIN
    widths = [_BEYOND.get(one, 0) or (table[ord(one) - 32] if " " <= one <= "~" else 0) for one in text]
    return sum(widths) * size / 1000 if all(widths) else None


def with_fixed_widths(svg: str) -> str:
    """`svg` with the width of each text written down: it was laid out for Arial, which not every machine has.

    A wider font is squeezed and a narrower one stretched, so that titles clear their labels with any.
    """

    def fix(match: re.Match[str]) -> str:
        attributes, size, content = match.groups()
        width = text_width(html.unescape(content), float(size), bold='font-weight="bold"' in attributes)
        if not width:
            return match[0]
        return f'<text{attributes} textLength="{width:.2f}" lengthAdjust="spacingAndGlyphs">{content}</text>'

    return _TEXT.sub(fix, svg)
