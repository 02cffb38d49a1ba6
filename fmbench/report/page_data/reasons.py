"""Reasons why a value is not there, each once."""

from __future__ import annotations


class Reasons:
    """Texts by number, in the order in which they were first asked for."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def number(self, text: str) -> int:
        """Return the number of a text."""
        return self._numbers.setdefault(text, len(self._numbers))

    @property
    def texts(self) -> list[str]:
        """All texts, by number."""
        return list(self._numbers)
