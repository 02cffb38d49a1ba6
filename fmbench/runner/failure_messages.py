"""What a run says while it computes: a mistake once, however many cells it costs."""

from __future__ import annotations

from collections.abc import Callable

from fmbench.results.failures import Failed


class FailureMessages:
    """Says the first failure and the first warning of each kind, and keeps back what a failure explains."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._kinds: set[tuple[str, str]] = set()
        self._failures: set[str] = set()
        self._kept: dict[str, None] = {}

    def failed(self, section: str, key: str, status: str, text: str) -> None:
        """A cell failed."""
        self._failures.add(text)
        self._once(Failed(section, key, status, text), f"{section} {key}: {status}: {text}")

    def warned(self, section: str, key: str, text: str) -> None:
        """A library, or a plugin, warned while a cell was computed."""
        self._once(Failed("", "", "", text), f"warning, {section} {key}: {text}" if key else f"warning: {text}")

    def slowed(self, text: str) -> None:
        """Cells could not be computed together: nothing is lost, and if each of them fails so, that is said of them."""
        self._kept[text] = None

    def end(self) -> None:
        """Say what was kept back and no failure explains."""
        for text in self._kept:
            if not any(failure in text for failure in self._failures):
                self._say(text)
        self._kept.clear()

    def _once(self, what: Failed[str], text: str) -> None:
        if what.kind not in self._kinds:
            self._kinds.add(what.kind)
            self._say(text)
