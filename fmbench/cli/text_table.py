"""Tables as plain text, no wider than the screen: those of a library take longer than what they show."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

GAP = 3
"""Spaces from one column to the next."""
NARROWEST = 8
_WORD, _PART = re.compile(r"\S+"), re.compile(r"[^\s_/.,=:()-]+[_/.,=:()-]*|[_/.,=:()-]+")
"""What a line is broken between: words, and the parts of words, each with the punctuation after it."""
_UNBROKEN = re.compile(r"[^\s`]*`[^`]*`\S*|\S+")


def lines_of(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    """Yield the lines of a table: heads, a rule, rows. Cells are wrapped where the table would be wider than `width`,
    the widest columns first: between words, as far as they fit, then after their punctuation, and within only where a
    column would have to be narrower than NARROWEST.
    """
    table = list(zip(columns, *rows, strict=True))
    wanted = [max(map(wide, column)) for column in table]
    room = width - GAP * (len(columns) - 1) - 2
    for parts in (_WORD, _PART):
        least = [max((wide(part) for cell in column for part in parts.findall(cell)), default=0) for column in table]
        if sum(least) <= room:
            break
    else:
        least = [min(each, NARROWEST) for each in wanted]
    widths = fit(wanted, room, least)
    yield from _lines(columns, widths)
    yield " " + "─" * (sum(widths) + GAP * (len(columns) - 1))
    for row in rows:
        yield from _lines(row, widths)


def fit(wanted: Sequence[int], room: int, least: Sequence[int] = ()) -> list[int]:
    """Return widths of columns that add up to `room` at most, where that can be: none above a common limit, and none
    below the `least` of its own.
    """
    least = least or [0] * len(wanted)
    limit = max(wanted, default=0)

    def at(limit: int) -> list[int]:
        return [max(min(each, limit), own) for each, own in zip(wanted, least, strict=True)]

    while limit > NARROWEST and sum(at(limit)) > room:
        limit -= 1
    return at(limit)


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
    return [part for line in lines for part in _broken(line, width) or [""]]


def _broken(line: str, width: int) -> list[str]:
    """Return the lines of a text: broken between words, within words only where they are wider than a line."""
    found = [""]
    for word in _WORD.findall(line):
        for number, piece in enumerate([word] if wide(word) <= width else _pieces(word, width)):
            gap = " " if found[-1] and not number else ""
            if wide(found[-1] + gap + piece) <= width:
                found[-1] += gap + piece
            else:
                found.append(piece)
    return found if found[0] else found[1:]


def _pieces(word: str, width: int) -> Iterator[str]:
    """Yield the parts of a word that is too wide, none wider than a line."""
    for part in _PART.findall(word):
        while wide(part) > width:
            end = next(n for n in range(len(part), 0, -1) if n == 1 or wide(part[:n]) <= width)
            yield part[:end]
            part = part[end:]
        yield part


def folded(text: str, width: int) -> str:
    """Return a text with line ends between words where its lines are wider than `width`.

    What stands in backticks is a command line: it stays whole, so that it can be copied.
    """
    return "\n".join(_folded(line, width) if wide(line) > width else line for line in text.split("\n"))


def _folded(line: str, width: int) -> str:
    indent = line[: len(line) - len(line.lstrip())]
    lines = [indent]
    for word in _UNBROKEN.findall(line):
        gap = "" if lines[-1] == indent else " "
        if gap and wide(lines[-1] + gap + word) > width:
            lines.append(indent + word)
        else:
            lines[-1] += gap + word
    return "\n".join(lines)
