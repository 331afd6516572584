"""A table as plain text, and how it looks on a terminal of any width."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

_GAP = 2
_NARROWEST = 12  # characters: where names and prose are folded
_LONGEST_RULE = 160  # where no terminal sets a limit
_ITEMS = re.compile(r".+?(?:[,/](?!\d)|$)")  # of a run's name, or of a path
_PIECES = re.compile(r"\S+?(?:[._](?!\d)|(?=\s)|$)")  # of a key


@dataclass(frozen=True)
class Head:
    """A column's header; see `Column` for `gives_way`. Only `prose` is folded inside a long word."""

    text: str
    right: bool = True
    gives_way: int = 0
    prose: bool = False


@dataclass(frozen=True)
class Line:
    """One row; its `marked` cells stand out in `style`, all of them where it is empty."""

    cells: list[str]
    style: str = ""
    marked: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Table:
    """A title, lines and the sentences below them. Every cell is clean text; a line break in a cell is meant."""

    title: str
    heads: list[Head]
    lines: list[Line]
    notes: list[str] = field(default_factory=list)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lines of text rather than a `rich.table.Table`, which needs a second for a thousand runs."""
        unbroken = self._narrowed(_width)
        shown, notes = self._fit(unbroken, options.max_width)
        widths = [max(_width(head.text), width) for head, width in zip(self.heads, unbroken, strict=True)]
        floors = self._floors()
        least = [
            floor if head.right else min(floor, _NARROWEST) for head, floor in zip(self.heads, floors, strict=True)
        ]
        widths = [widths[place] for place in shown]
        for narrower in (unbroken, floors, least):  # headers are folded first, then texts, at last long words
            widths = _squeezed(widths, [narrower[place] for place in shown], options.max_width)
        yield Text(self.title, style="bold")
        header = Line([head.text for head in self.heads], "bold")
        yield from self._picture(console, header, shown, widths)
        rule = "-" if options.ascii_only else "─"
        long = min(sum(widths) + _GAP * (len(widths) - 1), _LONGEST_RULE)
        yield Text(rule * long, style="dim", no_wrap=True, overflow="ignore")
        for line in self.lines:
            yield from self._picture(console, line, shown, widths)
        for note in notes:
            yield Text(note)

    def _narrowed(self, measure: Callable[[str], int]) -> list[int]:
        """How wide each column is by `measure` of its cells, and with its header broken after a dot or a _."""
        return [
            max(_longest_piece(head.text), *(measure(line.cells[at]) for line in self.lines), 0)
            for at, head in enumerate(self.heads)
        ]

    def _floors(self) -> list[int]:
        """How narrow each column gets without a break inside a word or a number."""
        words = self._narrowed(lambda cell: max(map(cell_len, cell.split()), default=0))
        return [min(width, _NARROWEST) if head.prose else width for head, width in zip(self.heads, words, strict=True)]

    def _fit(self, widths: Sequence[int], width: int) -> tuple[list[int], list[str]]:
        """The columns that fit, and the notes with the names of the others; of equals the last one is hidden first."""
        shown = list(range(len(self.heads)))
        hidden: list[int] = []
        for place in sorted(shown, key=lambda place: (-self.heads[place].gives_way, -place)):
            if not self.heads[place].gives_way or _total([widths[one] for one in shown]) <= width:
                break
            shown.remove(place)
            hidden.append(place)
        names = ", ".join(self.heads[place].text.replace("\n", " ") for place in sorted(hidden))
        note = f"hidden columns: {names}; a wider terminal or --format csv has them"
        return shown, [*self.notes, *([note] if hidden else [])]

    def _picture(self, console: Console, line: Line, shown: Sequence[int], widths: Sequence[int]) -> RenderResult:
        folded = [_fold(console, line.cells[place], width) for place, width in zip(shown, widths, strict=True)]
        for depth in range(max(map(len, folded))):
            text = Text(style="" if line.marked else line.style, no_wrap=True, overflow="ignore")
            for place, parts, width in zip(shown, folded, widths, strict=True):
                part = parts[depth] if depth < len(parts) else ""
                space = " " * (width - cell_len(part))
                style = line.style if place in line.marked else ""
                text.append(" " * _GAP if text else "")
                text.append(space + part if self.heads[place].right else part + space, style)
            text.rstrip()
            yield text


def _longest_piece(header: str) -> int:
    return max(map(cell_len, _PIECES.findall(header)), default=0)


def _width(cell: str) -> int:
    return max(map(cell_len, cell.split("\n")))


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)


def _squeezed(widths: Sequence[int], floors: Sequence[int], width: int) -> list[int]:
    """`widths` with the widest made narrower, no less than `floors`, until they fit; what does not fit is folded."""
    squeezed = list(widths)
    while _total(squeezed) > width:
        loose = [at for at, floor in enumerate(floors) if squeezed[at] > floor]
        if not loose:
            break
        squeezed[max(loose, key=lambda at: squeezed[at])] -= 1
    return squeezed


def _fold(console: Console, cell: str, width: int) -> list[str]:
    parts = cell.split("\n")
    if all(cell_len(part) <= width for part in parts):
        return parts
    parts = [" ".join(_broken(word, width) for word in part.split(" ")) for part in parts]
    return [line.plain.rstrip() for part in parts for line in Text(part).wrap(console, width)]


def _broken(word: str, width: int) -> str:
    """A word that is too long, such as a run's name or a path, on lines that end after commas and slashes, else _ ."""
    lines = [""]
    pieces = _ITEMS.findall(word) if cell_len(word) > width else [word]
    for piece in (part for item in pieces for part in (_PIECES.findall(item) if cell_len(item) > width else [item])):
        if lines[-1] and cell_len(lines[-1] + piece) > width:
            lines.append("")
        lines[-1] += piece
    return "\n".join(lines)
