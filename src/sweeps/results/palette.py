"""One look for each network, the same on the terminal, on the page and in every chart.

The colours are those of Okabe and Ito ("Color Universal Design", 2008), which people with any colour vision can tell
apart, without the yellow and the black that vanish on one of the two backgrounds. A dash and a shape say it again.
"""

import zlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Look:
    """A colour as #rrggbb, a line's dashes in pixels (on, off ...; empty is solid) and the shape of a point."""

    colour: str
    dash: tuple[int, ...]
    shape: str


_KNOWN = {
    "alexnet": Look("#0072b2", (), "circle"),
    "vgg11": Look("#e69f00", (8, 3), "square"),
    "nin": Look("#009e73", (2, 2), "triangle-up"),
    "googlenet": Look("#cc79a7", (8, 3, 2, 3), "diamond"),
    "lenet_bn": Look("#d55e00", (), "cross"),
    "resnet18": Look("#56b4e9", (5, 2), "triangle-down"),
    "densenet": Look("#7f7f7f", (12, 4), "triangle-right"),
}
_OTHERS = (
    Look("#a68a00", (4, 4), "circle"),
    Look("#9467bd", (1, 3), "square"),
    Look("#8c6d5a", (10, 2, 2, 2), "diamond"),
    Look("#3f8f8f", (6, 6), "triangle-left"),
)


def look_of(model: str) -> Look:
    """The look of a network; one that is not the package's own has one of four others, always the same."""
    return _KNOWN.get(model) or _OTHERS[zlib.crc32(model.encode()) % len(_OTHERS)]
