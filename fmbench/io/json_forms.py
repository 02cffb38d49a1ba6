"""Forms: what JSON must look like, declared once for each kind of file and held against what was read.

A checksum says that a file is what somebody wrote, and not that fmbench did. A value of another shape than the form's
is found here, where the file is read, and nowhere else.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Protocol

from fmbench.errors import DamagedFile

MOST_DEPTH = 64
"""Lists and objects in each other: nothing that fmbench writes comes near it, and whoever walks through can recurse."""
MOST_WHOLE = 2**63


class Form(Protocol):
    """What a value must look like."""

    def misfit(self, value: Any, place: str = "") -> str:
        """Say how a value, which is called `place`, does not fit; "" where it does."""


@dataclass(frozen=True)
class Plain:
    """A value by itself: `fits` tells whether it is one of what `words` name."""

    words: str
    fits: Callable[[Any], bool]

    def misfit(self, value: Any, place: str = "") -> str:
        """See Form."""
        return "" if self.fits(value) else f"{place or 'it'} must be {self.words}, and is {shown(value)}"


@dataclass(frozen=True)
class Each:
    """An object: names that fit one form, values that fit another."""

    form: Form
    names: Form = field(default_factory=lambda: TEXT)

    def misfit(self, value: Any, place: str = "") -> str:
        """See Form."""
        if not isinstance(value, dict):
            return f"{place or 'it'} must be an object, and is {shown(value)}"
        named, fitting = self.names is not TEXT, self.form is ANYTHING  # the names in JSON are texts
        for name, each in value.items():
            if (named and self.names.misfit(name)) or (not fitting and self.form.misfit(each)):
                wrong_name = self.names.misfit(name, f"a name in {place or 'it'}")
                return wrong_name or self.form.misfit(each, _inside(place, name))
        return ""


@dataclass(frozen=True)
class Fields:
    """An object with required fields, and optional ones that have their form where they are there; others are free.

    `together` are pairs of fields of which the first is never without the second.
    """

    required: Mapping[str, Form] = field(default_factory=dict)
    optional: Mapping[str, Form] = field(default_factory=dict)
    together: tuple[tuple[str, str], ...] = ()

    def misfit(self, value: Any, place: str = "") -> str:
        """See Form."""
        if not isinstance(value, dict):
            return f"{place or 'it'} must be an object, and is {shown(value)}"
        lacking = [name for name in self.required if name not in value]
        lacking += [second for first, second in self.together if first in value and second not in value]
        if lacking:
            return f"{place or 'it'} lacks {', '.join(lacking)}"
        for name, form in self._forms.items():
            if name in value and form.misfit(value[name]):
                return form.misfit(value[name], _inside(place, name))
        return ""

    @cached_property
    def _forms(self) -> dict[str, Form]:
        return {**self.required, **self.optional}


@dataclass(frozen=True)
class Rows:
    """A list whose entries have one form."""

    form: Form

    def misfit(self, value: Any, place: str = "") -> str:
        """See Form."""
        if not isinstance(value, list):
            return f"{place or 'it'} must be a list, and is {shown(value)}"
        wrong = (self.form.misfit(each, f"{place}[{number}]") for number, each in enumerate(value))
        return next(filter(None, wrong), "")


@dataclass(frozen=True)
class FixedList:
    """A list of as many entries as forms."""

    forms: tuple[Form, ...]

    def misfit(self, value: Any, place: str = "") -> str:
        """See Form."""
        if not isinstance(value, list) or len(value) != len(self.forms):
            return f"{place or 'it'} must be a list of {len(self.forms)} entries, and is {shown(value)}"
        pairs = enumerate(zip(self.forms, value, strict=True))
        return next(filter(None, (form.misfit(each, f"{place}[{number}]") for number, (form, each) in pairs)), "")


def _inside(place: str, name: str) -> str:
    """Return what an entry of an object is called."""
    return f"{place}.{name[:60]}" if place else name[:60]


def _is_whole(value: Any) -> bool:
    return type(value) is int and -MOST_WHOLE <= value < MOST_WHOLE


def _is_number(value: Any) -> bool:
    return type(value) is float or _is_whole(value)


def _is_time(value: Any) -> bool:
    try:
        datetime.fromisoformat(value).timestamp()
    except (TypeError, ValueError, OverflowError, OSError):
        return False
    return True


def _is_file_name(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[\w+-][\w.+-]{0,200}", value, re.ASCII) is not None


ANYTHING: Form = Plain("anything", lambda value: True)
TEXT: Form = Plain("a text", lambda value: isinstance(value, str))
TRUTH: Form = Plain("true or false", lambda value: isinstance(value, bool))
WHOLE: Form = Plain("a whole number below 2^63", _is_whole)
NUMBER: Form = Plain("a number", _is_number)
FINITE: Form = Plain("a finite number", lambda value: _is_number(value) and math.isfinite(value))
TIME: Form = Plain("a time as ISO 8601 has it", _is_time)
FILE_NAME: Form = Plain("the name of a file, without folders", _is_file_name)
OBJECT: Form = Each(ANYTHING)
NULL: Form = Plain("null", lambda value: value is None)


@dataclass(frozen=True)
class Either:
    """What fits one of two forms."""

    one: Form
    other: Form

    def misfit(self, value: Any, place: str = "") -> str:
        """See Form."""
        why = self.one.misfit(value, place)
        return why and self.other.misfit(value, place) and why


def one_of(words: Iterable[str]) -> Form:
    """Return the form of one of some words."""
    allowed = tuple(words)
    return Plain(f"one of {', '.join(allowed)}", lambda value: isinstance(value, str) and value in allowed)


def shown(value: Any) -> str:
    """Return a value in a few words."""
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def parsed(text: str | bytes) -> Any:
    """Return the value that JSON holds. Raises ValueError where it is none, or is nested more than MOST_DEPTH deep."""
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if _brackets(text) > MOST_DEPTH and _depth_exceeds(value, MOST_DEPTH):
        raise ValueError(f"it is nested more than {MOST_DEPTH} deep")
    return value


def _brackets(text: str | bytes) -> int:
    """Return how many brackets open in a text; lists and objects lie in each other no deeper than that."""
    return text.count("[") + text.count("{") if isinstance(text, str) else text.count(b"[") + text.count(b"{")


def _depth_exceeds(value: Any, most: int) -> bool:
    """Whether lists and objects lie in each other more than `most` deep."""
    layer = [value]
    for _ in range(most):
        layer = [
            inner
            for outer in layer
            for inner in (outer.values() if outer.__class__ is dict else outer if outer.__class__ is list else ())
            if inner.__class__ is dict or inner.__class__ is list
        ]
        if not layer:
            return False
    return True


def fitted(text: str | bytes, form: Form, path: object) -> Any:
    """Return the value that the JSON of a file holds. Raises DamagedFile where it is none, or has another form."""
    try:
        value = parsed(text)
    except ValueError as error:
        raise DamagedFile(f"{path} is not the JSON that was written: {error}") from error
    check(value, form, path)
    return value


def check(value: Any, form: Form, path: object) -> None:
    """Raise DamagedFile where the content of a file does not have its form."""
    if wrong := form.misfit(value):
        raise DamagedFile(f"{path} is not what fmbench writes: {wrong}")
