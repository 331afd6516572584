"""How categories look in every chart and on the page.

The colours are those of Okabe and Ito ("Color Universal Design", 2008), which people with any colour vision can
distinguish, without the yellow and the black, which vanish on one of the two backgrounds. A dash and a shape say the
same.
"""

from collections.abc import Iterable

# A colour, a line's dashes in pixels (on, off ...), the shape of a point.
Look = tuple[str, tuple[int, ...], str]
LOOKS: tuple[Look, ...] = (
    ("#0072b2", (1, 0), "circle"),
    ("#d55e00", (8, 3), "square"),
    ("#009e73", (2, 2), "triangle-up"),
    ("#cc79a7", (8, 3, 2, 3), "diamond"),
    ("#e69f00", (5, 2), "cross"),
    ("#56b4e9", (12, 4), "triangle-down"),
    ("#7f7f7f", (1, 3), "triangle-right"),
    ("#a68a00", (4, 4), "circle"),
    ("#9467bd", (10, 2, 2, 2), "square"),
    ("#8c6d5a", (6, 6), "diamond"),
    ("#3f8f8f", (3, 1), "triangle-left"),
)


def looks_of(categories: Iterable[str]) -> dict[str, Look]:
    """A look for each category, the same in every report of the same categories."""
    return {name: LOOKS[place % len(LOOKS)] for place, name in enumerate(sorted(set(categories)))}
