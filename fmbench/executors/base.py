"""The protocol of an executor: what computes tasks somewhere, and tells what happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from fmbench.executors.messages import Event, WorkerConfig
from fmbench.executors.tasks import Task


class Executor(Protocol):
    """Computes tasks: processes of this machine, nodes of a cluster, jobs of a queue.

    A new one has its row in `fmbench.executors.choose.EXECUTORS`, and is called with a WorkerConfig and
    ExecutorOptions. It passes `fmbench.testing.ExecutorConformance`. One that extends
    `fmbench.executors.supervisor.Supervisor` has only to start workers and to carry messages.

    What is computed goes to the store, never through an executor. A task that fails is no error: its units are said to
    have failed. Only a mistake of the user's, or a store that cannot be used, is raised, as UserError.
    """

    chains: bool
    """Whether a fleet and the evaluations that follow it are given out as one task: where a worker is far away."""

    expected_seconds: Callable[[Task], float | None]
    """How long a task is expected to take; None where nobody knows. Whoever knows more than that puts it here."""

    def warm_up(self, tasks: int) -> None:
        """Start the workers that so many tasks need now, so that they import their libraries at the same time."""

    def reconfigure(self, config: WorkerConfig) -> None:
        """Go on under another configuration, with at most its number of workers. Call it when no task is queued."""

    def submit(self, task: Task) -> None:
        """Queue a task. It may be called while `events` is at work, between two events."""

    def events(self) -> Iterator[Event]:
        """Yield what happens until all that was submitted has ended.

        Of each unit that a task names: "started", then "advanced" any number of times, then one of "finished" and
        "failed". It may start again after "again", "spoilt" or "slowed", or where its worker died before its files were
        on the disk; what was said to have ended does not.
        """

    def close(self) -> None:
        """End all workers, at once: what they were at goes on from its checkpoint when somebody asks for it again."""
