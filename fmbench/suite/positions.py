"""Values that know where they were written, and problems that say so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from fmbench.errors import SuiteError

Location = tuple[str | int, ...]
"""The way to a value: keys and indices from the top of the file."""


class Position(NamedTuple):
    """Where something was written: `file:line:column`, or `--set KEY=VALUE` without a line."""

    source: str = ""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


class Problem(NamedTuple):
    """One thing that is wrong, and where."""

    place: Position
    text: str


class Text(str):
    """A string with its place."""

    place: Position

    def __new__(cls, value: str, place: Position) -> Text:
        text = super().__new__(cls, value)
        text.place = place
        return text


class PositionedMapping(dict[str, Any]):
    """A mapping with its place, and the places of its keys and values."""

    def __init__(self, place: Position) -> None:
        super().__init__()
        self.place = place
        self.key_places: dict[str, Position] = {}
        self.value_places: dict[str, Position] = {}

    def put(self, key: str, value: Any, key_place: Position, value_place: Position) -> None:
        """Set an entry and where it is written."""
        self[key] = value
        self.key_places[key] = key_place
        self.value_places[key] = value_place

    def take(self, other: PositionedMapping) -> None:
        """Set all entries of another mapping, each where it is written there."""
        for key, value in other.items():
            self.put(key, value, other.key_places[key], other.value_places[key])


class PositionedList(list[Any]):
    """A list with its place, and the places of its items."""

    def __init__(self, place: Position) -> None:
        super().__init__()
        self.place = place
        self.places: list[Position] = []


def place_of(root: Any, location: Sequence[str | int], key: bool = False) -> Position:
    """Return the place of the value at `location`, or of its key; where it is not there, of the nearest around it."""
    place, value = getattr(root, "place", Position()), root
    for step in location:
        if isinstance(value, PositionedMapping) and isinstance(step, str) and step in value:
            place = value.key_places[step] if key and step == location[-1] else value.value_places[step]
            value = value[step]
        elif isinstance(value, PositionedList) and isinstance(step, int) and step < len(value):
            place, value = value.places[step], value[step]
        elif not (step == 0 or step == value):
            # A scalar may stand for a list of one, and `adamw` for `{adamw: {}}`: those steps lead to where one is.
            break
    return place


def plain(value: Any) -> Any:
    """Return a value without its places: dict, list, str and numbers of Python's own types."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return str(value) if isinstance(value, str) else value


def shown(value: Any) -> str:
    """Return a value as a message shows it: as YAML writes it, and short."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return short("{" + ", ".join(f"{k}: {shown(v)}" for k, v in value.items()) + "}")
    if isinstance(value, list | tuple):
        return short("[" + ", ".join(shown(v) for v in value) + "]")
    return short(repr(str(value)) if isinstance(value, str) else repr(value))


def short(text: str) -> str:
    """Return text as a message shows it: its beginning, where it is long."""
    return text if len(text) <= 60 else text[:57] + "..."


def raise_problems(problems: Sequence[Problem], most: int = 10) -> None:
    """Raise one SuiteError for all problems, a line each, in the order of the file; do nothing without any."""
    if not problems:
        return
    # What is not in the file has no line: it comes last.
    ordered = sorted(dict.fromkeys(problems), key=lambda p: (p.place.line == 0, p.place.line, p.place.column))
    lines = [ordered[0].text, *(f"{p.place}: {p.text}" for p in ordered[1:most])]
    if len(ordered) > most:
        lines.append(f"... and {len(ordered) - most} more problems.")
    raise SuiteError("\n".join(lines), str(ordered[0].place))
