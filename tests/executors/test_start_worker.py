"""The environment of a worker: threads that wait do not spin, unless its user chose how they wait."""

from __future__ import annotations

import os

import pytest

from fmbench.executors.start_worker import waiting_threads, worker_environment


@pytest.mark.parametrize("given", [{}, {"HOME": "/home/somebody"}])
def test_threads_wait_without_spinning_where_nobody_chose_how(given: dict[str, str]) -> None:
    assert waiting_threads(given) == {"GOMP_SPINCOUNT": "1000"}
    assert worker_environment(1, [], given)["GOMP_SPINCOUNT"] == "1000"


@pytest.mark.parametrize("policy", ["PASSIVE", "ACTIVE"])
def test_a_wait_policy_that_is_set_is_left_alone(policy: str) -> None:
    given = {"OMP_WAIT_POLICY": policy}
    assert waiting_threads(given) == {}
    environment = worker_environment(1, [], given)
    assert environment["OMP_WAIT_POLICY"] == policy
    assert "GOMP_SPINCOUNT" not in environment


def test_a_spin_count_of_the_user_reaches_the_worker() -> None:
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
