"""An executor that computes its tasks in the test's own process."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path

from helpers import built_ins

from fmbench.executors.messages import Event, WorkerConfig
from fmbench.executors.run_task import Computer
from fmbench.executors.tasks import Task
from fmbench.model.context import WorkerContext
from fmbench.store.store import Store


class HereExecutor:
    """Computes tasks in this process, as they are asked for."""

    chains = False

    def __init__(self, config: WorkerConfig, timeout: float | None) -> None:
        self.config = config
        self.tasks: deque[Task] = deque()

    def warm_up(self, tasks: int) -> None:
        """Do nothing."""

    def reconfigure(self, config: WorkerConfig) -> None:
        """Go on under another configuration."""
        self.config = config

    def submit(self, task: Task) -> None:
        """Queue a task."""
        self.tasks.append(task)

    def events(self) -> Iterator[Event]:
        """Yield what happens, task by task."""
        while self.tasks:
            said: list[Event] = []
            context = WorkerContext(built_ins(), Store(Path(self.config.store)), device="cpu", threads=1, jobs=1)
            Computer(context, said.append)(self.tasks.popleft())
            yield from said

    def close(self) -> None:
        """Do nothing."""
