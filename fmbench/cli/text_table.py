"""Tables as plain text, no wider than the screen: those of a library take longer than what they show."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterator, Sequence

GAP = 3
"""Spaces from one column to the next."""
NARROWEST = 8


def lines_of(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    """Yield the lines of a table: heads, a rule, rows. Cells are wrapped where the table would be wider than `width`,
    the widest columns first; no column is made narrower than NARROWEST.
    """
    wanted = [max(map(wide, column)) for column in zip(columns, *rows, strict=True)]
    widths = fit(wanted, width - GAP * (len(columns) - 1) - 2)
    yield from _lines(columns, widths)
    yield " " + "─" * (sum(widths) + GAP * (len(columns) - 1))
    for row in rows:
        yield from _lines(row, widths)


def fit(wanted: Sequence[int], room: int) -> list[int]:
    """Return widths of columns that add up to `room` at most, where that can be: none above a common limit."""
    limit = max(wanted, default=0)
    while limit > NARROWEST and sum(min(each, limit) for each in wanted) > room:
        limit -= 1
    return [min(each, limit) for each in wanted]


def wide(text: str) -> int:
    """Return the places that the widest line of a text takes on the screen."""
    return max((sum(map(_places, line)) for line in text.split("\n")), default=0)


def _places(letter: str) -> int:
    if letter < "\u0300":
        return 1
    return 0 if unicodedata.combining(letter) else 1 + (unicodedata.east_asian_width(letter) in "WF")


def _lines(cells: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    """Yield the lines of one row."""
    wrapped = [_wrapped(cell, width) for cell, width in zip(cells, widths, strict=True)]
    for number in range(max(map(len, wrapped))):
        parts = [lines[number] if number < len(lines) else "" for lines in wrapped]
        padded = (part + " " * (width - wide(part)) for part, width in zip(parts, widths, strict=True))
        yield " " + (" " * GAP).join(padded).rstrip()


def _wrapped(cell: str, width: int) -> list[str]:
    lines = cell.split("\n")
    if wide(cell) <= width:
        return lines
    return [part for line in lines for part in textwrap.wrap(line, width, break_on_hyphens=False) or [""]]
