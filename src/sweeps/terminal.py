"""Text that comes from files, made safe for a terminal. Never imports torch."""

import re
import unicodedata


def printable(text: str) -> str:
    """`text` without control, format or half characters: no escape sequence, and nothing that reverses the line.

    Lines and tabs stay as they are; whatever else may not be shown is left out, half a character becomes `?`.
    """
    if text.isprintable():
        return text
    return "".join(map(_shown, text))


def clean(value: object) -> str:
    """`value` on one line, printable."""
    return printable(" ".join(str(value).split()))


def without_formula(text: str) -> str:
    """`text` as a field of a CSV file: a spreadsheet takes what begins like a formula for one, so a `'` comes first."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) and not _NUMBER.fullmatch(text) else text


_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def _shown(character: str) -> str:
    if character.isprintable() or character in "\n\t":
        return character
    return "?" if unicodedata.category(character) == "Cs" else ""
