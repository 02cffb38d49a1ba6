"""The environment of a worker: the driver's, but for threads and the folders to import from."""

from __future__ import annotations

import os

from fmbench.executors.start_worker import worker_environment


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
