"""Texts of others, as they may be shown: errors of plugins, names of files, what stands on a command line.

They can hold what no file and no terminal should get: halves of characters, which Python makes of bytes that are not
UTF-8 and which nothing can encode; control characters, with which a text moves the cursor, clears the screen or names
the window; and marks that turn the direction of writing, so that one reads what is not there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

_HALVES = re.compile("[\ud800-\udfff]")
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls of C0 and C1, but for tabulator and line feed
    "\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"  # direction of writing, separators of lines
    "\ud800-\udfff]"
)


def count(n: int, noun: str, plural: str = "") -> str:
    """Say a number of things: "1 seed", "3 seeds"."""
    return f"{n} {noun if n == 1 else plural or noun + 's'}"


def some(texts: Sequence[str], most: int) -> list[str]:
    """Return the first of many texts, and how many more there are."""
    return [*texts[:most], *([f"{len(texts) - most} more"] if len(texts) > most else [])]


def visible(text: str) -> str:
    """Return a text with what cannot be seen or encoded written as an escape: ESC as \\x1b. The rest is unchanged."""
    return _UNSEEN.sub(_escape, text) if _UNSEEN.search(text) else text


def visible_json(text: str) -> str:
    """Return the text of JSON, in which what cannot be seen or encoded is an escape of JSON's own.

    Controls below a space are that already, for JSON has no others: ASCII, which a plan of a million cells mostly is,
    needs no second look.
    """
    if text.isascii() and "\x7f" not in text:
        return text
    return _UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", text) if _UNSEEN.search(text) else text


def encodable(value: Any) -> Any:
    """Return a JSON value with halves of characters in its texts written as escapes, so that it can be encoded."""
    if isinstance(value, str):
        return _HALVES.sub(_escape, value)
    if isinstance(value, dict):
        return {encodable(name): encodable(each) for name, each in value.items()}
    return [encodable(each) for each in value] if isinstance(value, list) else value


def _escape(match: re.Match[str]) -> str:
    number = ord(match[0])
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"
