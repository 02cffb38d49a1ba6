"""The environment of a worker: the driver's, but for threads and the folders to import from; and the tests' workers."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from forked_workers import start_forked_worker
from helpers import training_cell

from fmbench.executors.local import LocalExecutor
from fmbench.executors.messages import WorkerConfig
from fmbench.executors.start_worker import start_worker, worker_environment
from fmbench.executors.tasks import TrainTask
from fmbench.plugins.registry import Registry
from fmbench.store.store import Store


def test_how_threads_wait_is_the_users_choice() -> None:
    assert worker_environment(1, [], {"GOMP_SPINCOUNT": "7"})["GOMP_SPINCOUNT"] == "7"


def test_threads_and_folders_are_those_that_the_driver_gives() -> None:
    given = {"OMP_NUM_THREADS": "64", "PYTHONPATH": "elsewhere", "FMBENCH_HOME": "kept"}
    environment = worker_environment(3, ["one", "two"], given)
    assert {name: environment[name] for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")} == (
        dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "3")
    )
    assert environment["PYTHONPATH"] == f"one{os.pathsep}two"
    assert environment["PYTHONSAFEPATH"] == "1"
    assert environment["FMBENCH_HOME"] == "kept"
    assert given == {"OMP_NUM_THREADS": "64", "PYTHONPATH": "elsewhere", "FMBENCH_HOME": "kept"}


@pytest.mark.skipif(sys.platform != "linux", reason="tests fork their workers on Linux alone")
def test_workers_that_tests_fork_train_to_the_same_bits_as_those_that_fmbench_starts(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = training_cell(registry, settings={"steps": 5})
    weights = []
    for start in (start_worker, start_forked_worker):
        monkeypatch.setattr("fmbench.executors.local.start_worker", start)
        store = Store(tmp_path / start.__name__)
        executor = LocalExecutor(WorkerConfig((), registry.fingerprints(), str(store.root), "cpu", 1, 1))
        executor.submit(TrainTask((cell,)))
        try:
            assert [event.what for event in executor.events()][-1] == "finished", start.__name__
        finally:
            executor.close()
        weights.append(store.folder("training", cell.key).read("weights.safetensors"))
    assert weights[0] == weights[1]
