"""Values that many cells hold alike, kept once: of what a hundred thousand files say, most is the same."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

LONGEST = 48
"""Longer texts are checksums and errors: hardly two are alike."""


class SharedValues:
    """Returns equal values that share their names, their short texts and their identities."""

    def __init__(self) -> None:
        self._identities: dict[str, Mapping[str, Any]] = {}

    def of(self, value: Any) -> Any:
        """Return what was parsed of a cell's file, made of shared values where these are never changed."""
        if isinstance(value, dict):
            return {sys.intern(name): self._of_field(name, each) for name, each in value.items()}
        return sys.intern(value) if isinstance(value, str) and len(value) <= LONGEST else value

    def _of_field(self, name: str, value: Any) -> Any:
        if name != "identity":
            return self.of(value)
        return self._identities.setdefault(repr(value), value)
