"""YAML to plain values in which every key and value still knows its place.

YAML 1.2's core schema: `1e-3` is a number, `yes`, `no`, `on` and `off` are words, and there are no dates and no tags.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from yaml.composer import Composer
from yaml.parser import Parser
from yaml.reader import Reader, ReaderError
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

from fmbench.errors import SuiteError, did_you_mean

Location = tuple[str | int, ...]
"""The way to a value: keys and indices from the top of the file."""

MOST_VALUES = 100_000
"""Values that a file may expand to: aliases of aliases grow without end."""


class Place(NamedTuple):
    """Where something was written: `file:line:column`, or `--set KEY=VALUE` without a line."""

    source: str = ""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


class Problem(NamedTuple):
    """One thing that is wrong, and where."""

    place: Place
    text: str


class Text(str):
    """A string with its place."""

    place: Place

    def __new__(cls, value: str, place: Place) -> Text:
        text = super().__new__(cls, value)
        text.place = place
        return text


class Table(dict[str, Any]):
    """A mapping with its place, and the places of its keys and values."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place
        self.key_places: dict[str, Place] = {}
        self.value_places: dict[str, Place] = {}

    def put(self, key: str, value: Any, key_place: Place, value_place: Place) -> None:
        """Set an entry and where it is written."""
        self[key] = value
        self.key_places[key] = key_place
        self.value_places[key] = value_place


class Row(list[Any]):
    """A list with its place, and the places of its items."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place
        self.places: list[Place] = []


class _Loader(Reader, Scanner, Parser, Composer, BaseResolver):
    """PyYAML up to the node tree, with the scalars of YAML 1.2."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        BaseResolver.__init__(self)


_TAG = "tag:yaml.org,2002:"
for _name, _pattern in {
    "null": r"~|null|Null|NULL|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
    "float": r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
}.items():
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(f"^(?:{_pattern})$"), None)


def read_file(path: Path) -> str:
    """Return the text of a suite file. Raises SuiteError where there is none."""
    if path.is_dir():
        held = _suites_in(path)
        raise SuiteError(f"a suite is a YAML file, and this is a folder. {held}", str(path))
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        choices = [p.name for p in _suite_files(path.parent)]
        close = did_you_mean(path.name, choices) or did_you_mean(path.name + ".yaml", choices)
        raise SuiteError(f"there is no such suite file.{close} {_suites_in(path.parent)}", str(path)) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SuiteError(f"the suite file cannot be read: {reason}.", str(path)) from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8", errors="replace")
        place = _place_after(before, str(path))
        raise SuiteError(
            f"a suite is UTF-8 text; byte 0x{raw[error.start]:02x} is not. Save the file as UTF-8.", str(place)
        ) from None


def _suite_files(folder: Path) -> list[Path]:
    try:
        return sorted(p for p in folder.iterdir() if p.suffix in {".yaml", ".yml"})
    except OSError:
        return []


def _suites_in(folder: Path) -> str:
    names = [p.name for p in _suite_files(folder)]
    if not names:
        return f"The folder {str(folder)!r} " + ("holds no suite." if folder.is_dir() else "does not exist.")
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return f"The folder {str(folder)!r} holds {', '.join(names[:12])}{more}."


def _place_after(text: str, source: str) -> Place:
    return Place(source, text.count("\n") + 1, len(text) - (text.rfind("\n") + 1) + 1)


def read_yaml(text: str, source: str, fixed: Place | None = None) -> tuple[Any, list[Problem]]:
    """Return the one value that YAML text holds, with places, and what is wrong inside it.

    `fixed` is the place of everything, for text that is no file. Raises SuiteError where the text is not YAML at all.
    """
    try:
        node = _Loader(text).get_single_node()
        reading = _Reading(source, fixed)
        value = reading.convert(node) if node is not None else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = fixed or (Place(source, mark.line + 1, mark.column + 1) if mark else Place(source))
        words = ", ".join(part for part in (error.problem, error.context) if part)
        raise SuiteError(f"this is not YAML: {words}.", str(place)) from None
    except ReaderError as error:
        place = fixed or _place_after(text[: error.position], source)
        raise SuiteError(
            f"this is not YAML: the character {text[error.position]!r} is not allowed.", str(place)
        ) from None
    except RecursionError:
        raise SuiteError("the values are nested too deeply to be a suite.", str(fixed or Place(source))) from None
    return value, reading.problems


class _Reading:
    """Converts a node tree, and collects what is wrong with it."""

    def __init__(self, source: str, fixed: Place | None) -> None:
        self.source = source
        self.fixed = fixed
        self.problems: list[Problem] = []
        self.count = 0
        self.open: list[yaml.Node] = []

    def place(self, node: yaml.Node) -> Place:
        return self.fixed or Place(self.source, node.start_mark.line + 1, node.start_mark.column + 1)

    def fail(self, node: yaml.Node, text: str) -> None:
        self.problems.append(Problem(self.place(node), text))

    def convert(self, node: yaml.Node) -> Any:
        self.count += 1
        if self.count > MOST_VALUES or any(node is ancestor for ancestor in self.open):
            why = f"expands to more than {MOST_VALUES} values" if self.count > MOST_VALUES else "contains itself"
            raise SuiteError(f"an alias {why}; write the values out.", str(self.place(node)))
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node)
        if not node.tag.startswith(_TAG) or node.tag.removeprefix(_TAG) not in {"map", "seq"}:
            self.fail(node, f"tags are not part of a suite; found {_shown_tag(node.tag)}. Remove it.")
        self.open.append(node)
        value = self.table(node) if isinstance(node, yaml.MappingNode) else self.row(node)
        self.open.pop()
        return value

    def table(self, node: yaml.MappingNode) -> Table:
        table = Table(self.place(node))
        for key_node, value_node in node.value:
            key = self.convert(key_node)
            if not isinstance(key, str):
                self.fail(key_node, f"a key is a word; found {shown(key)}. Put it in quotes if it is meant as a name.")
            elif key in table:
                first = table.key_places[key]
                at = f" at line {first.line}" if first.line else ""
                self.fail(key_node, f"the key {str(key)!r} is written twice; the first is{at}. Remove one of them.")
            else:
                table.put(str(key), self.convert(value_node), self.place(key_node), self.place(value_node))
        return table

    def row(self, node: yaml.Node) -> Row:
        row = Row(self.place(node))
        for item in node.value:
            row.append(self.convert(item))
            row.places.append(self.place(item))
        return row

    def scalar(self, node: yaml.ScalarNode) -> Any:
        kind, text = node.tag.removeprefix(_TAG), node.value
        if kind == "str" or node.tag == "!":
            return Text(text, self.place(node))
        if kind not in {"null", "bool", "int", "float"}:
            self.fail(node, f"tags are not part of a suite; found {_shown_tag(node.tag)}. Remove it.")
            return Text(text, self.place(node))
        try:
            value = _SCALARS[kind](text)
        except ValueError:
            self.fail(node, f"{_short(text)} cannot be read as a number.")
            return 0
        if isinstance(value, float) and not math.isfinite(value):
            self.fail(node, f"a number must be finite; found {_short(text)}.")
            return 0.0
        return value


def _shown_tag(tag: str) -> str:
    return "!!" + tag.removeprefix(_TAG) if tag.startswith(_TAG) else tag


def _integer(text: str) -> int:
    return int(text, 0) if text[:2] in {"0x", "0o"} else int(text)


def _float(text: str) -> float:
    word = text.lstrip("+-").lower()
    return math.nan if word in {".nan", ".inf"} else float(text)


_SCALARS: dict[str, Any] = {
    "null": lambda text: None,
    "bool": lambda text: text.lower() == "true",
    "int": _integer,
    "float": _float,
}


def place_of(root: Any, location: Sequence[str | int], key: bool = False) -> Place:
    """Return the place of the value at `location`, or of its key; of the nearest one around it where it is not there."""
    place, value = getattr(root, "place", Place()), root
    for step in location:
        if isinstance(value, Table) and isinstance(step, str) and step in value:
            place = value.key_places[step] if key and step == location[-1] else value.value_places[step]
            value = value[step]
        elif isinstance(value, Row) and isinstance(step, int) and step < len(value):
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
        return _short("{" + ", ".join(f"{k}: {shown(v)}" for k, v in value.items()) + "}")
    if isinstance(value, list | tuple):
        return _short("[" + ", ".join(shown(v) for v in value) + "]")
    return _short(repr(str(value)) if isinstance(value, str) else repr(value))


def _short(text: str) -> str:
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
