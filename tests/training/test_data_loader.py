"""Training data that are loaded ahead of the steps are those that lie on the device."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import pytest
import torch
from helpers import context, training_cell

from fmbench.cells.cells import TrainingCell
from fmbench.model.context import WorkerContext
from fmbench.plugins.registry import Registry
from fmbench.runtime.background_threads import PrefetchPool
from fmbench.training import data_loader, pairing
from fmbench.training.data_loader import BUFFERS, DataOrder, Prefetched, Resident
from fmbench.training.loop import train


def prefetched(cell: TrainingCell, shop: WorkerContext) -> Prefetched:
    x, y = shop.load(cell.dataset, "train")
    return Prefetched(x, y, DataOrder(cell, len(x), "cpu"), shop.device, shop.prefetch_pool)


def loading() -> bool:
    return any(thread.name.startswith("fmbench-loading") for thread in threading.enumerate())


@pytest.mark.parametrize("threaded", [True, False])
def test_any_steps_can_be_asked_for(tmp_path: Path, registry: Registry, threaded: bool) -> None:
    shop = context(tmp_path, registry)
    cell = training_cell(registry, dataset="digits", settings={"batch_size": 100})
    x, y = shop.data(cell.dataset, "train")
    resident, other = Resident(x, y, DataOrder(cell, len(x), "cpu")), prefetched(cell, shop)
    choose = random.Random(0)
    asked = [range(step, step + 1) for step in range(12)] + [range(first, first + 3) for first in range(12, 40, 3)]
    asked += [range(first, first + choose.choice([1, 2])) for first in choose.sample(range(100), 12)]
    with shop.prefetch_pool:
        for number, steps in enumerate(asked):
            there = shop.prefetch_pool if threaded and number != 5 else PrefetchPool("cpu", 1, 1)
            other._threads = there
            mine, theirs = resident.take(steps), other.take(steps)
            assert all(map(torch.equal, mine, theirs)), steps
        assert loading() is threaded
    after = range(200, 201)
    assert all(map(torch.equal, resident.take(after), other.take(after))), "the threads may have ended"
    assert not loading()


def test_who_changes_a_batch_changes_no_other(tmp_path: Path, registry: Registry) -> None:
    shop, cell = context(tmp_path, registry), training_cell(registry)
    x, y = shop.data(cell.dataset, "train")
    source = Resident(x, y, DataOrder(cell, len(x), "cpu"))
    for step in (0, 1, 0, 20, 1):
        expected = x[DataOrder(cell, len(x), "cpu").of(range(step, step + 1))]
        taken, _ = source.take(range(step, step + 1))
        assert torch.equal(taken, expected)
        taken.zero_()


def test_what_was_handed_out_is_not_written_to_again(tmp_path: Path, registry: Registry) -> None:
    shop, cell = context(tmp_path, registry), training_cell(registry)
    source = prefetched(cell, shop)
    with shop.prefetch_pool:
        taken = [source.take(range(step, step + 1))[0] for step in range(3 * BUFFERS)]
        copies = [value.clone() for value in taken]
        source.take(range(50, 51))
    assert all(map(torch.equal, taken, copies))
    assert len({value.data_ptr() for value in taken}) == len(taken)


@pytest.mark.parametrize("coupling", ["independent", ("minibatch_ot", {"pool": 2})])
def test_training_from_memory_ends_in_the_same_weights(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch, coupling: object
) -> None:
    cell = training_cell(
        registry, dataset="digits", coupling=coupling, settings={"steps": 20, "class_conditional": True}
    )
    found = []
    for name in ("resident", "prefetched"):
        shop = context(tmp_path / name, registry)
        train([cell], shop)
        found.append(shop.store.folder("training", cell.key).read("weights.safetensors"))
        monkeypatch.setattr(pairing, "data_loader", prefetched)
        assert not loading()
    assert found[0] == found[1]


@pytest.mark.parametrize(("free", "kind"), [(10**12, Resident), (1000, Prefetched)])
def test_data_that_do_not_fit_stay_in_memory(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch, free: int, kind: type
) -> None:
    shop, cell = context(tmp_path, registry), training_cell(registry)
    assert isinstance(data_loader.data_loader(cell, shop), Resident), "on a CPU they are where they are computed with"
    monkeypatch.setattr(data_loader, "free_memory", lambda device: free)
    there = shop.data(cell.dataset, "train")
    monkeypatch.setattr(WorkerContext, "data", lambda *_: there)
    shop.device = "cuda"
    assert isinstance(data_loader.data_loader(cell, shop), kind)
