"""Pairing ahead in threads: the same numbers, an exact resumption, errors that are the cell's own, threads that end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import context, training_cell
from safetensors.torch import load_file
from torch import Generator, Tensor

from fmbench import Coupling
from fmbench.cells.cells import TrainingCell
from fmbench.model.context import WorkerContext
from fmbench.plugins.registry import Registry
from fmbench.runtime import background_threads
from fmbench.runtime.background_threads import PrefetchPool
from fmbench.training.loop import begin, run_steps, train
from fmbench.training.state import TrainingState

COUPLINGS: list[Any] = ["minibatch_ot", ("minibatch_ot", {"pool": 3}), "sinkhorn", ("sinkhorn", {"pool": 2})]


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four cores, and pairing that is done ahead from the second step on, however little it takes."""
    monkeypatch.setattr(background_threads, "cpu_count", lambda: 4)
    monkeypatch.setattr(background_threads, "WARM_UP", 0)
    monkeypatch.setattr(background_threads, "LOOK", 1)
    monkeypatch.setattr(background_threads, "SHARE", -1.0)


def names_of_threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("fmbench-pairing")}


def weights(cell: TrainingCell, shop: WorkerContext) -> dict[str, Tensor]:
    return load_file(shop.store.folder("training", cell.key).path / "weights.safetensors")


def trained(cell: TrainingCell, shop: WorkerContext) -> dict[str, Tensor]:
    train([cell], shop)
    return weights(cell, shop)


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


class Noting(Coupling):
    """Does as it is told when it pairs, and notes the thread that it does so in."""

    draws = False

    def __init__(self, act: Callable[[int], None] = lambda number: None) -> None:
        self.threads: list[str] = []
        self._act = act

    def pair(
        self, x_0: Tensor, x_1: Tensor, y: Tensor | None, generator: Generator
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        self.threads.append(threading.current_thread().name)
        self._act(len(self.threads))
        return x_0, x_1, y


def begun(coupling: Coupling, shop: WorkerContext, registry: Registry, steps: int = 20) -> TrainingState:
    """Return the state of a training whose coupling is replaced."""
    cell = training_cell(registry, settings={"steps": steps})
    shop._built[cell.coupling.digest] = coupling
    return begin([cell], shop)


def run(
    state: TrainingState, shop: WorkerContext, progress: Callable[[int], None] = lambda steps: None
) -> TrainingState:
    return run_steps(state, shop, lambda *_: None, progress)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("coupling", COUPLINGS, ids=str)
def test_nothing_is_another_number_than_without_threads(
    tmp_path: Path, registry: Registry, coupling: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = training_cell(registry, coupling=coupling, settings={"steps": 20})
    with_threads = trained(cell, context(tmp_path / "with", registry))
    monkeypatch.setattr(background_threads, "cpu_count", lambda: 1)
    assert same(with_threads, trained(cell, context(tmp_path / "without", registry)))


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("coupling", COUPLINGS, ids=str)
def test_a_checkpoint_is_of_its_step_however_far_threads_are_ahead(
    tmp_path: Path, registry: Registry, coupling: Any
) -> None:
    cell = training_cell(registry, coupling=coupling, settings={"steps": 20})
    whole = trained(cell, context(tmp_path / "whole", registry))
    for step in (7, 8, 18):  # in the middle of a pool, at its end, and where nothing is left to pair ahead
        shop = context(tmp_path / str(step), registry, checkpoint_seconds=0.0)
        folder = shop.store.folder("training", cell.key)

        def save(_: TrainingCell, at: int, payload: bytes, folder: Any = folder, last: int = step) -> None:
            folder.checkpoints.save(at, payload)
            if at == last:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run_steps(begin([cell], shop), shop, save, lambda steps: None)
        assert not names_of_threads()
        assert same(whole, trained(cell, context(tmp_path / str(step), registry)))


@pytest.mark.usefixtures("eager")
def test_batches_are_paired_in_threads_that_end_with_the_training(tmp_path: Path, registry: Registry) -> None:
    shop, coupling = context(tmp_path, registry), Noting()
    run(begun(coupling, shop, registry), shop)
    assert len(coupling.threads) == 20, "each batch is paired once, and none that no step needs"
    assert sum(name.startswith("fmbench-pairing") for name in coupling.threads) > 10
    assert not names_of_threads()


@pytest.mark.usefixtures("eager")
def test_an_error_in_a_thread_is_the_trainings_own_at_its_step(tmp_path: Path, registry: Registry) -> None:
    def fail(number: int) -> None:
        if number == 13:
            raise RuntimeError("the thirteenth cannot be paired")

    shop, seen = context(tmp_path, registry), []
    coupling = Noting(fail)
    state = begun(coupling, shop, registry)
    with pytest.raises(RuntimeError, match="the thirteenth cannot be paired"):
        run(state, shop, seen.append)
    assert coupling.threads[-1].startswith("fmbench-pairing")
    assert sum(seen) == state.step
    assert 8 <= state.step <= 13  # the batches that threads pair side by side are not numbered in order
    assert not names_of_threads()


@pytest.mark.usefixtures("eager")
def test_a_fleet_shares_its_threads(tmp_path: Path, registry: Registry) -> None:
    cells = [training_cell(registry, seed, {"steps": 12}, coupling="minibatch_ot") for seed in range(10)]
    shop = context(tmp_path / "fleet", registry)
    most = [0]

    def look(_: int) -> None:
        most.append(len(names_of_threads()))

    run(begin(cells, shop), shop, look)
    assert 1 <= max(most) <= shop.prefetch_pool.size <= 4
    assert not names_of_threads()


@pytest.mark.usefixtures("eager")
def test_what_draws_from_the_global_generator_stays_in_its_thread(tmp_path: Path, registry: Registry) -> None:
    shop, coupling = context(tmp_path, registry), Noting(lambda number: torch.rand(1) and None)
    run(begun(coupling, shop, registry), shop)
    assert not any(name.startswith("fmbench-pairing") for name in coupling.threads)


@pytest.mark.parametrize(("cores", "jobs", "free"), [(1, 1, False), (2, 2, False), (2, 1, True), (16, 8, True)])
def test_threads_are_for_cores_that_nobody_has(
    monkeypatch: pytest.MonkeyPatch, cores: int, jobs: int, free: bool
) -> None:
    monkeypatch.setattr(background_threads, "cpu_count", lambda: cores)
    for device in ("cpu", "cuda"):
        threads = PrefetchPool(device, cores // jobs, jobs)
        with threads:
            assert threads.pays is (None if free else False)
        assert 1 <= threads.size <= background_threads.MOST


@pytest.mark.parametrize(("pairing", "pays"), [(0.5, True), (0.01, False)])
def test_only_what_takes_a_relevant_part_of_a_step_is_done_ahead(
    monkeypatch: pytest.MonkeyPatch, pairing: float, pays: bool
) -> None:
    monkeypatch.setattr(background_threads, "cpu_count", lambda: 4)
    clock = [0.0]
    monkeypatch.setattr(background_threads.time, "perf_counter", lambda: clock[0])
    threads = PrefetchPool("cpu", 4, 1)
    with threads:
        for step in range(20):
            for _ in range(3):  # three couplings of a fleet, which count together
                began = clock[0]
                clock[0] += pairing / 3
                threads.note(step, began, False)
            clock[0] += 1 - pairing
        assert threads.pays is pays
