"""The protocol of executors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from fmbench.executors.messages import Event
from fmbench.executors.tasks import Task


class Executor(Protocol):
    """Where tasks are computed."""

    def submit(self, task: Task) -> None:
        """Queue a task. May be called while `events` is being read."""

    def events(self) -> Iterator[Event]:
        """Yield what happens until every submitted task has ended."""

    def close(self) -> None:
        """End all workers at once; checkpoints stay."""
