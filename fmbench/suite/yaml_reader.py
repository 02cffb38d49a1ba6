"""YAML to plain values in which every key and value still knows its place.

YAML 1.2's core schema: `1e-3` is a number, `yes`, `no`, `on` and `off` are words, and there are no dates and no tags.
"""

from __future__ import annotations

import errno
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

from fmbench.errors import SuiteError, did_you_mean, missing_space
from fmbench.io.regular_files import read_regular
from fmbench.suite.positions import Position, PositionedList, PositionedMapping, Problem, Text, short, shown
from fmbench.suite.shipped import SUFFIXES, shipped_suite_meant

MOST_BYTES = 2**20
"""Of a suite file: reading more takes longer than a mistake should."""
MOST_VALUES = 50_000
"""Keys and values that a file may hold, and that it may expand to: aliases of aliases grow without end."""
LARGEST = 2**63 - 1
"""The largest whole number that tables, databases and JSON readers take."""


class _Loader(Reader, Scanner, Parser, Composer, BaseResolver):
    """PyYAML up to the node tree, with the scalars of YAML 1.2."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        BaseResolver.__init__(self)
        self._composed = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Return the next node. Counted here, so that what is too long to be a suite is not read to its end."""
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        self._composed += 1
        if self._composed > MOST_VALUES:
            raise _TooManyValues(mark)
        return super().compose_node(parent, index)


class _TooManyValues(Exception):
    """A text holds more values than a suite may."""

    def __init__(self, mark: yaml.Mark) -> None:
        super().__init__()
        self.mark = mark


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
    try:
        if path.is_dir():
            held = _suites_in(path)
            raise SuiteError(f"a suite is a YAML file, and this is a folder. {held}", str(path))
        raw = read_regular(path, MOST_BYTES)
    except FileNotFoundError:
        choices = [p.name for p in _suite_files(path.parent)]
        close = did_you_mean(path.name, choices) or did_you_mean(path.name + ".yaml", choices)
        close = close or shipped_suite_meant(path)
        own = "" if path.is_absolute() else " `fmbench suites` lists those that come with fmbench."
        raise SuiteError(f"there is no such suite file.{close} {_suites_in(path.parent)}{own}", str(path)) from None
    except (OSError, ValueError) as error:
        if getattr(error, "errno", None) == errno.EFBIG and (size := path.stat().st_size) > MOST_BYTES:
            raise SuiteError(_too_large(size), str(path)) from None
        reason = getattr(error, "strerror", None) or str(error)
        raise SuiteError(f"the suite file cannot be read: {reason}.", str(path)) from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = _place_after(raw[: error.start].decode("utf-8", errors="replace"), str(path))
        text = f"a suite is UTF-8 text; byte 0x{raw[error.start]:02x} is not. Save the file as UTF-8."
        raise SuiteError(text, str(place)) from None


def _too_large(size: int) -> str:
    return (
        f"a suite file has at most {MOST_BYTES:,} bytes; found {size:,}. Leave out comments and what is generated, or "
        "split it into several suites."
    )


def _suite_files(folder: Path) -> list[Path]:
    try:
        return sorted(p for p in folder.iterdir() if p.suffix in SUFFIXES)
    except OSError:
        return []


def _suites_in(folder: Path) -> str:
    names = [p.name for p in _suite_files(folder)]
    if not names:
        return f"The folder {str(folder)!r} " + ("holds no suite." if folder.is_dir() else "does not exist.")
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return f"The folder {str(folder)!r} holds {', '.join(names[:12])}{more}."


def _place_after(text: str, source: str) -> Position:
    return Position(source, text.count("\n") + 1, len(text) - (text.rfind("\n") + 1) + 1)


def read_yaml(text: str, source: str, fixed: Position | None = None) -> tuple[Any, list[Problem]]:
    """Return the one value that YAML text holds, with places, and what is wrong inside it.

    `fixed` is the place of everything, for text that is no file. Raises SuiteError where the text is not YAML at all.
    """
    reading, whole = _Reading(source, fixed), fixed or Position(source)
    if len(text) > MOST_BYTES:
        raise SuiteError(_too_large(len(text)), str(whole))
    try:
        node = _Loader(text).get_single_node()
        value = reading.convert(node) if node is not None else None
    except _TooManyValues as error:
        words = f"a suite holds at most {MOST_VALUES:,} keys and values; found more. Split it into several suites."
        raise SuiteError(words, str(reading.place_at(error.mark))) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = reading.place_at(mark) if mark else whole
        words = ", ".join(part for part in (error.problem, error.context) if part)
        hint = _missing_space(text, mark.line) if mark else ""
        raise SuiteError(f"this is not YAML: {words}.{hint}", str(place)) from None
    except ReaderError as error:
        place = fixed or _place_after(text[: error.position], source)
        words = f"this is not YAML: the character {text[error.position]!r} is not allowed."
        raise SuiteError(words, str(place)) from None
    except RecursionError:
        raise SuiteError("the values are nested too deeply to be a suite.", str(whole)) from None
    return value, reading.problems


def _missing_space(text: str, line: int) -> str:
    """Return a hint where a line, or the one before it, is `key:value`, which is one word for YAML."""
    lines = text.split("\n")[max(line - 1, 0) : line + 1]
    return next(filter(None, map(missing_space, lines)), "")


class _Reading:
    """Converts a node tree, and collects what is wrong with it."""

    def __init__(self, source: str, fixed: Position | None) -> None:
        self.source = source
        self.fixed = fixed
        self.problems: list[Problem] = []
        self.count = 0
        self.open: set[int] = set()

    def place_at(self, mark: yaml.Mark) -> Position:
        return self.fixed or Position(self.source, mark.line + 1, mark.column + 1)

    def place(self, node: yaml.Node) -> Position:
        return self.place_at(node.start_mark)

    def fail(self, node: yaml.Node, text: str) -> None:
        self.problems.append(Problem(self.place(node), text))

    def convert(self, node: yaml.Node) -> Any:
        self.count += 1  # what is written was counted before: beyond that, aliases have multiplied it
        if self.count > MOST_VALUES or id(node) in self.open:
            why = f"expands to more than {MOST_VALUES:,} values" if self.count > MOST_VALUES else "contains itself"
            raise SuiteError(f"an alias {why}; write the values out.", str(self.place(node)))
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node)
        if not node.tag.startswith(_TAG) or node.tag.removeprefix(_TAG) not in {"map", "seq"}:
            self.fail(node, f"tags are not part of a suite; found {_shown_tag(node.tag)}. Remove it.")
        self.open.add(id(node))
        value = self.table(node) if isinstance(node, yaml.MappingNode) else self.row(node)
        self.open.remove(id(node))
        return value

    def table(self, node: yaml.MappingNode) -> PositionedMapping:
        own, merged = PositionedMapping(self.place(node)), PositionedMapping(self.place(node))
        merge: yaml.Node | None = None
        for key_node, value_node in node.value:
            if _is_merge(key_node):
                if merge is not None:
                    self.fail(key_node, "<< is written twice; merge several mappings as <<: [*one, *two].")
                    continue
                merge, merged = key_node, self.merged(value_node)
                continue
            key = self.convert(key_node)
            if not isinstance(key, str):
                self.fail(key_node, f"a key is a word; found {shown(key)}. Put it in quotes if it is meant as a name.")
            elif key in own:
                first = own.key_places[key]
                at = f" at line {first.line}" if first.line else ""
                self.fail(key_node, f"the key {shown(key)} is written twice; the first is{at}. Remove one of them.")
            else:
                own.put(str(key), self.convert(value_node), self.place(key_node), self.place(value_node))
        if merge is None:
            return own
        whole = PositionedMapping(own.place)
        whole.take(merged)
        whole.take(own)
        return whole

    def merged(self, node: yaml.Node) -> PositionedMapping:
        """Return what `<<` brings into a mapping, as YAML 1.1 has it: of several mappings, the earlier one counts."""
        listed = node.value if isinstance(node, yaml.SequenceNode) else [node]
        found = PositionedMapping(self.place(node))
        for each in reversed(listed):
            value = self.convert(each)
            if isinstance(value, PositionedMapping):
                found.take(value)
            else:
                words = "<< takes the keys of a mapping that has an anchor, <<: *NAME after &NAME"
                self.fail(each, f"{words}; found {shown(value)}.")
        return found

    def row(self, node: yaml.Node) -> PositionedList:
        row = PositionedList(self.place(node))
        for item in node.value:
            row.append(self.convert(item))
            row.places.append(self.place(item))
        return row

    def scalar(self, node: yaml.ScalarNode) -> Any:
        kind, text = node.tag.removeprefix(_TAG), node.value
        if kind == "str" or node.tag == "!":
            if letter := _NO_TEXT.search(text):
                self.fail(node, f"text is Unicode without NUL; found the character {letter[0]!r}. Remove it.")
                return Text("", self.place(node))
            return Text(text, self.place(node))
        if kind not in {"null", "bool", "int", "float"}:
            self.fail(node, f"tags are not part of a suite; found {_shown_tag(node.tag)}. Remove it.")
            return Text(text, self.place(node))
        try:
            value = _SCALARS[kind](text)
        except ValueError:
            self.fail(node, f"{short(text)} cannot be read as a number.")
            return 0
        if isinstance(value, int) and abs(value) > LARGEST:
            self.fail(node, f"a whole number is at most {LARGEST:,}; found {short(text)}. Take a smaller one.")
            return 0
        if isinstance(value, float) and not math.isfinite(value):
            self.fail(node, f"a number must be finite; found {short(text)}.")
            return 0.0
        return value


_NO_TEXT = re.compile("[\0\ud800-\udfff]")
"""What a double-quoted text may hold as an escape, and no file name, database or page can."""


def _is_merge(node: yaml.Node) -> bool:
    """Whether a key is YAML's `<<`; in quotes it is a word like any other."""
    return isinstance(node, yaml.ScalarNode) and node.value == "<<" and node.style is None and node.tag == _TAG + "str"


def _shown_tag(tag: str) -> str:
    return short("!!" + tag.removeprefix(_TAG) if tag.startswith(_TAG) else tag)


def _float(text: str) -> float:
    word = text.lstrip("+-").lower()
    return math.nan if word in {".nan", ".inf"} else float(text)


_SCALARS: dict[str, Any] = {
    "null": lambda text: None,
    "bool": lambda text: text.lower() == "true",
    "int": lambda text: int(text, 0) if text[:2] in {"0x", "0o"} else int(text),
    "float": _float,
}
