"""Who watches a run: stages, and steps done."""

from __future__ import annotations

from typing import Protocol

STAGES = ("preparing", "training", "evaluation", "timing", "logging")


class Observer(Protocol):
    """Is told how a run gets on. `stage` names one of STAGES."""

    def say(self, text: str) -> None:
        """Something that the user should read."""

    def begin(self, stage: str, total: int, done: int = 0) -> None:
        """A stage begins, of so many units."""

    def advance(self, stage: str, amount: int = 1) -> None:
        """So many units are done; fewer than 0 where what was done is lost."""

    def end(self, stage: str) -> None:
        """A stage has ended."""

    def began(self, unit: str, what: str) -> None:
        """A worker has begun a unit, "training KEY" say; `what` says which, in words."""

    def ended(self, unit: str, *, failed: bool) -> None:
        """A unit has ended."""


class Silent:
    """The observer of a run that nobody watches."""

    def say(self, text: str) -> None:
        """Say nothing."""

    def begin(self, stage: str, total: int, done: int = 0) -> None:
        """Show nothing."""

    def advance(self, stage: str, amount: int = 1) -> None:
        """Show nothing."""

    def end(self, stage: str) -> None:
        """Show nothing."""

    def began(self, unit: str, what: str) -> None:
        """Show nothing."""

    def ended(self, unit: str, *, failed: bool) -> None:
        """Show nothing."""
