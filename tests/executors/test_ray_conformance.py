"""The Ray executor keeps every executor's promises."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fmbench.executors.messages import WorkerConfig
from fmbench.runner.session import Options
from fmbench.testing import ExecutorConformance

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def one_start() -> Iterator[None]:
    """One Ray for all tests: starting one takes longer than they do."""
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR", configure_logging=False)
    yield
    ray.shutdown()


class TestRayExecutor(ExecutorConformance):
    """On a node of this machine."""

    @classmethod
    def make(cls, config: WorkerConfig, timeout: float | None) -> object:
        from fmbench.executors.ray import RayExecutor

        return RayExecutor(config, Options(timeout=timeout))
