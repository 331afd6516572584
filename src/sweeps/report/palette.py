"""How categories look in every chart and on the page.

The colours are those of Okabe and Ito ("Color Universal Design", 2008), which people with any colour vision can tell
apart, without the yellow and the black that vanish on one of the two backgrounds. A dash and a shape say it again.
"""

from collections.abc import Iterable
from typing import NamedTuple


class Look(NamedTuple):
    """A colour as #rrggbb, a line's dashes in pixels (on, off ...; empty is solid) and the shape of a point."""

    colour: str
    dash: tuple[int, ...]
    shape: str


LOOKS = (
    Look("#0072b2", (), "circle"),
    Look("#d55e00", (8, 3), "square"),
    Look("#009e73", (2, 2), "triangle-up"),
    Look("#cc79a7", (8, 3, 2, 3), "diamond"),
    Look("#e69f00", (5, 2), "cross"),
    Look("#56b4e9", (12, 4), "triangle-down"),
    Look("#7f7f7f", (1, 3), "triangle-right"),
    Look("#a68a00", (4, 4), "circle"),
    Look("#9467bd", (10, 2, 2, 2), "square"),
    Look("#8c6d5a", (6, 6), "diamond"),
    Look("#3f8f8f", (3, 1), "triangle-left"),
)


def looks_of(categories: Iterable[str]) -> dict[str, Look]:
    """A look for each category, the same in every report of the same categories."""
    return {name: LOOKS[place % len(LOOKS)] for place, name in enumerate(sorted(categories))}
