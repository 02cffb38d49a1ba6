"""YAML to plain values in which every key and value still knows its place.

YAML 1.2's core schema: `1e-3` is a number, `yes`, `no`, `on` and `off` are words, and there are no dates and no tags.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.parser import Parser
from yaml.reader import Reader, ReaderError
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

from fmbench.errors import SuiteError, did_you_mean
from fmbench.files import read_regular
from fmbench.suite.places import Place, Problem, Row, Table, Text, short, shown

MOST_VALUES = 100_000
"""Values that a file may expand to: aliases of aliases grow without end."""


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
        raw = read_regular(path)
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
            self.fail(node, f"{short(text)} cannot be read as a number.")
            return 0
        if isinstance(value, float) and not math.isfinite(value):
            self.fail(node, f"a number must be finite; found {short(text)}.")
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
