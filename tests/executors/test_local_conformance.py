"""The local executor keeps every executor's promises."""

from __future__ import annotations

from fmbench.executors.local import LocalExecutor
from fmbench.executors.messages import WorkerConfig
from fmbench.testing import ExecutorConformance


class TestLocalExecutor(ExecutorConformance):
    """With the workers that tests fork."""

    @classmethod
    def make(cls, config: WorkerConfig, timeout: float | None) -> LocalExecutor:
        return LocalExecutor(config, timeout)
