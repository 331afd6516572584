"""A table as plain text, and how it looks on a terminal of any width."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

_GAP = 2
_NARROWEST = 12  # characters: where names and sentences are folded
_LONGEST_RULE = 160  # where no terminal sets a limit
_ITEMS = re.compile(r".+?(?:[,/](?!\d)|$)")  # of a run's name, or of a path
_PIECES = re.compile(r"\S+?(?:[._](?!\d)|(?=\s)|$)")  # of a key


@dataclass(frozen=True)
class Head:
    """A column's header; see `Column` for `gives_way`. Only a column that stands left is folded inside a word."""

    text: str
    right: bool = True
    gives_way: int = 0


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
        columns = [[line.cells[at] for line in self.lines] for at in range(len(self.heads))]
        headers = [max(map(cell_len, _PIECES.findall(head.text)), default=0) for head in self.heads]
        whole = [max([header, *map(_width, cells)]) for header, cells in zip(headers, columns, strict=True)]
        shown, notes = self._fit(whole, options.max_width)
        widths = [max(_width(self.heads[at].text), whole[at]) for at in shown]
        words = [max([headers[at], *(cell_len(word) for cell in columns[at] for word in cell.split())]) for at in shown]
        least = [
            words if self.heads[at].right else min(words, _NARROWEST) for at, words in zip(shown, words, strict=True)
        ]
        for narrower in ([whole[at] for at in shown], least):  # headers are folded first
            widths = _squeezed(widths, narrower, options.max_width)
        yield Text(self.title, style="bold")
        yield from self._picture(console, Line([head.text for head in self.heads], "bold"), shown, widths)
        rule = "-" if options.ascii_only else "─"
        yield Text(rule * min(_total(widths), _LONGEST_RULE), style="dim", no_wrap=True, overflow="ignore")
        for line in self.lines:
            yield from self._picture(console, line, shown, widths)
        yield from map(Text, notes)

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
                text.append(" " * _GAP if text else "")
                style = line.style if place in line.marked else ""
                text.append(space + part if self.heads[place].right else part + space, style)
            text.rstrip()
            yield text


def _width(cell: str) -> int:
    return max(map(cell_len, cell.split("\n")))


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)


def _squeezed(widths: Sequence[int], least: Sequence[int], width: int) -> list[int]:
    """`widths` with the widest made narrower, no less than `least`, until they fit."""
    squeezed = list(widths)
    while _total(squeezed) > width:
        loose = [at for at, floor in enumerate(least) if squeezed[at] > floor]
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
    for item in _ITEMS.findall(word):
        for piece in [item] if cell_len(item) <= width else _PIECES.findall(item):
            if lines[-1] and cell_len(lines[-1] + piece) > width:
                lines.append("")
            lines[-1] += piece
    return "\n".join(lines)
