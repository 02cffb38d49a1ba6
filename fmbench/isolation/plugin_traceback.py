"""Whose line an exception or a warning comes from: the user's own, where there is one, and which component's."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

MOST_SHOWN = 300
"""Characters of what an exception says."""

_CORE = str(Path(__file__).parents[1]) + os.sep
_LIBRARY = str(Path(os.__file__).parent) + os.sep
_INSTALLED = ("site-packages", "dist-packages")


@dataclass(frozen=True)
class SourceLine:
    """A line of code that was at work. `owner` is the object whose method it is in, if it is in one."""

    file: str
    number: int
    owner: Any = None

    def __str__(self) -> str:
        """Return the file's name, with its package's, and the line."""
        path = Path(self.file)
        name = f"{path.parent.name}/{path.name}" if (path.parent / "__init__.py").exists() else path.name
        return f"{name}, line {self.number}"


def described(error: BaseException) -> str:
    """Return an exception as one line: its type, what it says, and the line of the user's own code that led to it."""
    try:
        message = " ".join(str(error.msg if isinstance(error, SyntaxError) else error).split())[:MOST_SHOWN]
    except Exception:
        message = "(it cannot be printed)"
    line = own_line(lines_of(error))
    if isinstance(error, SyntaxError) and error.filename:
        line = SourceLine(error.filename, error.lineno or 0)
    where = f" ({line})" if line else ""
    return f"{type(error).__name__}{': ' if message else ''}{message}{where}"


def lines_of(error: BaseException) -> list[SourceLine]:
    """Return the lines that led to an exception, the outermost first."""
    found = []
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        found.append(_line(trace.tb_frame, trace.tb_lineno))
        trace = trace.tb_next
    return found


def lines_here() -> list[SourceLine]:
    """Return the lines that are at work now, the outermost first, without the caller's."""
    found = []
    frame = sys._getframe(1).f_back
    while frame is not None:
        found.append(_line(frame, frame.f_lineno))
        frame = frame.f_back
    return found[::-1]


def _line(frame: FrameType, number: int) -> SourceLine:
    return SourceLine(frame.f_code.co_filename, number, frame.f_locals.get("self"))


def own_line(lines: Sequence[SourceLine]) -> SourceLine | None:
    """Return the last line that is neither fmbench's nor a library's; else the last one of an installed package, such
    as a plugin may be, but torch; else the last of a component that comes with fmbench; else the last.

    So a component of somebody's own that calls one of fmbench's with what it cannot take is told as the caller.
    """
    for belongs in (_is_own, _may_be_a_plugin, _is_shipped, lambda line: True):
        if found := [line for line in lines if belongs(line)]:
            return found[-1]
    return None


def _is_own(line: SourceLine) -> bool:
    inside = Path(line.file).parts
    is_library = any(each in inside for each in _INSTALLED) or line.file.startswith(_LIBRARY)
    return _has_file(line) and not is_library and not _is_shipped(line)


def _may_be_a_plugin(line: SourceLine) -> bool:
    inside = Path(line.file).parts
    is_installed = any(each in inside for each in _INSTALLED) and "torch" not in inside
    return _has_file(line) and is_installed and not _is_shipped(line)


def _is_shipped(line: SourceLine) -> bool:
    """Whether a line is of a component that comes with fmbench, wherever it is installed."""
    return _has_file(line) and any(part in _shipped() for part in Path(line.file).parts[:-1])


@lru_cache(maxsize=1)
def _shipped() -> frozenset[str]:
    """Return the packages of components that come with fmbench."""
    try:
        entries = metadata.distribution("fmbench").entry_points
    except metadata.PackageNotFoundError:
        return frozenset()
    return frozenset(entry.value.partition(":")[0].partition(".")[0] for entry in entries if entry.group == "fmbench")


def _has_file(line: SourceLine) -> bool:
    return not line.file.startswith((_CORE, "<"))


def to_blame(lines: Sequence[SourceLine], components: Iterable[tuple[str, object]]) -> str:
    """Return the name of the component whose code the user's own line is in, "" where that is not sure.

    `components` are names, "solver heun" say, and the objects.
    """
    line, known = own_line(lines), list(components)
    if line is None or line.file.startswith((_CORE, "<")):
        return ""
    # A helper is its caller's, as far as both stand in one file; a network's module is no component itself.
    near = [each for each in lines if each.file == line.file]
    for each in reversed(near):
        owned = [name for name, component in known if component is each.owner]
        if owned:
            return owned[0]
    there = {name for name, component in known if _file_of(component) == line.file}
    return there.pop() if len(there) == 1 else ""


def _file_of(component: object) -> str:
    try:
        return inspect.getfile(type(component))
    except (TypeError, OSError):
        return ""
