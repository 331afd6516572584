"""How wide a text of a chart is, so that it takes that room whatever font it is shown with. Never imports torch."""

import html
import re

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
