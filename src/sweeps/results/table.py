"""A table as plain text cells, and its picture on a terminal of any width."""

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from sweeps.results.format import BLANK

_GAP = 2
_NARROWEST = 12  # characters: where names and prose are folded
_LONGEST_RULE = 160  # where no terminal sets a limit


@dataclass(frozen=True)
class Head:
    """A column's header; see `Column` for `is_setting` and `gives_way`. Only `prose` is folded inside a long word."""

    text: str
    right: bool = True
    is_setting: bool = False
    gives_way: int = 0
    prose: bool = False


@dataclass(frozen=True)
class Line:
    """One row of cells; `marked` cells stand out in `style`, all of them where it is empty; `inks` colours some."""

    cells: list[str]
    style: str = ""
    marked: frozenset[int] = frozenset()
    inks: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Sheet:
    """A title, a table and the sentences below it. Every cell is clean text; a line break in a cell is meant.

    A sheet that `turns` shows its columns as lines where it is too wide, and is left out where that is too wide too.
    """

    title: str
    heads: list[Head]
    lines: list[Line]
    notes: list[str] = field(default_factory=list)
    turns: bool = False

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lines of text rather than a `rich.table.Table`, which needs a second for a thousand runs."""
        if self.turns:
            yield from self._turning(options.max_width)
            return
        widths = [max(map(_width, column)) for column in self._columns()]
        shown, notes = self._fit(widths, options.max_width)
        floors = self._floors()
        widths = _squeezed([widths[place] for place in shown], [floors[place] for place in shown], options.max_width)
        least = [
            min(width, width if self.heads[at].right else _NARROWEST) for at, width in zip(shown, widths, strict=True)
        ]
        widths = _squeezed(widths, least, options.max_width)
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

    def _columns(self) -> list[list[str]]:
        return [[head.text, *(line.cells[at] for line in self.lines)] for at, head in enumerate(self.heads)]

    def _floors(self) -> list[int]:
        """How narrow each column gets without a break inside a word or a number."""
        longest = [
            max(cell_len(word) for cell in column for word in cell.split() or [""]) for column in self._columns()
        ]
        return [min(word, _NARROWEST) if head.prose else word for head, word in zip(self.heads, longest, strict=True)]

    def _turning(self, width: int) -> Iterator["Sheet | Text"]:
        """This sheet if it fits, else its columns as lines, else a sentence."""
        ways = [dataclasses.replace(sheet, turns=False) for sheet in (self, self._turned())]
        full = [_total([max(map(_width, column)) for column in sheet._columns()]) for sheet in ways]
        least = [_total(sheet._floors()) for sheet in ways]
        for sheet, needed in zip((*ways, *ways), (*full, *least), strict=True):
            if needed <= width:
                yield sheet
                return
        yield Text(self.title, style="bold")
        yield Text(
            f"{len(self.lines)} x {len(self.heads) - 1} cells are too wide for {width} columns: the ranking has every "
            "run; a wider terminal or --format md shows the table."
        )

    def _turned(self) -> "Sheet":
        first, *heads = self.heads
        lines = []
        for at, head in enumerate(heads, start=1):
            marked = frozenset(place for place, line in enumerate(self.lines, start=1) if at in line.marked)
            style = next((line.style for line in self.lines if at in line.marked), "")
            lines.append(Line([head.text, *(line.cells[at] for line in self.lines)], style, marked))
        corner = " \\ ".join(reversed(first.text.split(" \\ ")))
        return dataclasses.replace(
            self, heads=[Head(corner), *(Head(line.cells[0]) for line in self.lines)], lines=lines
        )

    def _fit(self, widths: Sequence[int], width: int) -> tuple[list[int], list[str]]:
        """The columns that fit, and the notes with what the others would have said."""
        shown = list(range(len(self.heads)))
        stated: list[str] = []
        left_out: list[str] = []
        for place in self._dispensable():
            if _total([widths[one] for one in shown]) <= width:
                break
            shown.remove(place)
            name = self.heads[place].text.replace("\n", " ")
            if self.heads[place].is_setting:
                stated.append(f"{name} {self._common(place)}")
            else:
                left_out.append(name)
        notes = [f"In all runs: {', '.join(reversed(stated))}."] if stated else []
        if left_out:
            notes.append(f"Too narrow for: {', '.join(reversed(left_out))}; a wider terminal or --format csv has them.")
        return shown, [*self.notes, *notes]

    def _dispensable(self) -> list[int]:
        """Columns that may go, in the order of going: what is the same in all lines, then what says least.

        Of equals the last goes first. A setting that gives no way goes at the very end, where it is the same in all.
        """
        places = range(len(self.heads) - 1, -1, -1)
        constant = [place for place in places if self.heads[place].is_setting and self._common(place)]
        minor = [place for place in places if self.heads[place].gives_way and place not in constant]
        return [
            *(place for place in constant if self.heads[place].gives_way),
            *sorted(minor, key=lambda place: -self.heads[place].gives_way),
            *(place for place in constant if not self.heads[place].gives_way),
        ]

    def _common(self, place: int) -> str:
        """The one value of a column, else nothing; an unreadable run does not count against it."""
        values = {line.cells[place] for line in self.lines} - {BLANK}
        return values.pop() if len(values) == 1 else ""

    def _picture(self, console: Console, line: Line, shown: Sequence[int], widths: Sequence[int]) -> RenderResult:
        folded = [_fold(console, line.cells[place], width) for place, width in zip(shown, widths, strict=True)]
        for depth in range(max(map(len, folded))):
            text = Text(style="" if line.marked else line.style, no_wrap=True, overflow="ignore")
            for place, parts, width in zip(shown, folded, widths, strict=True):
                part = parts[depth] if depth < len(parts) else ""
                space = " " * (width - cell_len(part))
                style = line.inks.get(place) or (line.style if place in line.marked else "")
                text.append(" " * _GAP if text else "")
                text.append(space + part if self.heads[place].right else part + space, style)
            text.rstrip()
            yield text


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
    """A word that is too long, such as a run's name or a path, on lines that end after commas and slashes."""
    lines = [""]
    for piece in re.findall(r".+?(?:[,/](?!\d)|$)", word) if cell_len(word) > width else [word]:
        if lines[-1] and cell_len(lines[-1] + piece) > width:
            lines.append("")
        lines[-1] += piece
    return "\n".join(lines)
