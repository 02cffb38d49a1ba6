"""Where memory runs out: an evaluation is computed with half the batch, a fleet in halves, a training is a row."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import context, evaluation_cell, training_cell
from safetensors.torch import load
from torch import Tensor

from fmbench.cells.cells import EvaluationCell, TrainingCell
from fmbench.errors import CellFailure, OutOfMemory, StoreError
from fmbench.executors import evaluate_fleet, run_task, train_fleet
from fmbench.executors.messages import Event
from fmbench.executors.out_of_memory import with_advice
from fmbench.executors.run_task import Computer
from fmbench.executors.tasks import EvaluateFleetTask, EvaluateTask, TrainTask, Work
from fmbench.model import velocity
from fmbench.model.context import WorkerContext
from fmbench.model.trained_model import Trained, load_trained
from fmbench.plugins.registry import Registry
from fmbench.runtime.failures import describe_failure, is_out_of_memory
from fmbench.training import loop

CUDA = "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 8 GiB"
SAID = (
    torch.OutOfMemoryError(CUDA),
    MemoryError(),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried to"),
    RuntimeError("MPS backend out of memory (MPS allocated: 17.9 GB, other allocations: 1 MB)"),
    RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"),
    RuntimeError("std::bad_alloc"),
)


@pytest.fixture(scope="module")
def shop(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> WorkerContext:
    return context(tmp_path_factory.mktemp("memory"), registry)


@pytest.fixture(scope="module")
def cells(registry: Registry, shop: WorkerContext) -> list[TrainingCell]:
    cells = [training_cell(registry, seed, settings={"steps": 10}) for seed in range(4)]
    loop.train(cells, shop)
    return cells


def limited(monkeypatch: pytest.MonkeyPatch, most: int) -> list[int]:
    """Let no network call have more than so many examples; return a list that is filled with how many each had."""
    asked: list[int] = []
    true = velocity.in_pieces

    def call(module: Callable[..., Tensor], inputs: Any, pieces: int | None, members: int = 1) -> Tensor:
        asked.append(min(len(inputs[0]), members * (pieces or len(inputs[0]))))
        if asked[-1] > most:
            raise torch.OutOfMemoryError(CUDA)
        return true(module, inputs, pieces, members)

    monkeypatch.setattr(velocity, "in_pieces", call)
    return asked


def evaluated(shop: WorkerContext, cell: EvaluationCell, *metrics: str) -> list[Event]:
    said: list[Event] = []
    wanted = tuple(shop.registry.spec("metric", name) for name in metrics)
    Computer(shop, said.append)(EvaluateTask(cell.training, (), (Work(cell.key, cell, wanted),)))
    return said


def samples_of(shop: WorkerContext, cell: EvaluationCell) -> Tensor:
    return load(shop.store.folder("evaluation", cell.key).read("samples.safetensors"))["samples"]


@pytest.mark.parametrize("error", SAID, ids=lambda error: str(error)[:30])
def test_all_allocators_words_are_known(error: Exception) -> None:
    assert is_out_of_memory(error)
    assert describe_failure(error).status == "oom"


@pytest.mark.parametrize("error", [RuntimeError("mat1 and mat2 cannot be multiplied"), OSError(errno.EBADF, "closed")])
def test_other_errors_are_not_memory(error: Exception) -> None:
    assert describe_failure(error).status == "error"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_no_cells_failure(number: int) -> None:
    error = RuntimeError("cannot write the statistics")
    error.__cause__ = OSError(number, os.strerror(number), "/cache/statistics.npz")
    with pytest.raises(StoreError, match=r"^/cache/statistics.npz cannot be written: .*; free some .*then run again$"):
        describe_failure(error)


@pytest.mark.parametrize("solver", ["euler", "dopri5"])
def test_an_evaluation_is_computed_with_half_the_batch(
    registry: Registry, shop: WorkerContext, cells: list[TrainingCell], monkeypatch: pytest.MonkeyPatch, solver: str
) -> None:
    plain = evaluation_cell(registry, cells[0], samples=600)
    cell = plain if solver == "euler" else replace(plain, solver=registry.spec("solver", solver), grid=None, nfe=None)
    assert [event.what for event in evaluated(shop, cell, "sliced_wasserstein")] == ["started", "finished"]
    folder = shop.store.folder("evaluation", cell.key)
    whole, scores = samples_of(shop, cell), folder.metrics()
    assert "halved_batch" not in (folder.result() or {})["facts"]
    folder.discard()

    asked = limited(monkeypatch, 128)
    said = evaluated(shop, cell, "sliced_wasserstein")
    assert [event.what for event in said] == ["started", "slowed", "finished"]
    assert "256 samples at once, so cells were evaluated with 128 (OutOfMemoryError: CUDA out of memory" in said[1].text
    assert max(asked[1:]) <= 128
    assert (folder.result() or {})["facts"]["halved_batch"] == 128
    torch.testing.assert_close(samples_of(shop, cell), whole, rtol=1e-5, atol=1e-5)
    for digest, entry in folder.metrics().items():
        assert entry["batch"] == 128
        assert entry["values"] == pytest.approx(scores[digest]["values"], rel=1e-4)
    assert shop.evaluation_batch is None


def test_too_much_with_half_the_batch_is_a_row(
    registry: Registry, shop: WorkerContext, cells: list[TrainingCell], monkeypatch: pytest.MonkeyPatch
) -> None:
    cell, asked = evaluation_cell(registry, cells[1]), limited(monkeypatch, 100)
    *_, ended = evaluated(shop, cell)
    assert (ended.what, ended.status) == ("failed", "oom")
    assert "half the batch, 128 samples at once, was too much, too" in ended.text
    assert asked == [256, 128]
    assert shop.store.folder("evaluation", cell.key).failure()["status"] == "oom"  # type: ignore[index]


def test_a_metric_that_ran_out_of_memory_is_tried_again_and_the_others_stay(
    registry: Registry, shop: WorkerContext, cells: list[TrainingCell], monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = evaluation_cell(registry, cells[2])
    metric = type(shop.build(registry.spec("metric", "energy_distance")))
    true, calls = metric.compute, []

    def compute(self: Any, evidence: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise MemoryError("no room for the distances")
        return true(self, evidence)

    monkeypatch.setattr(metric, "compute", compute)
    said = evaluated(shop, cell, "sliced_wasserstein", "energy_distance")
    assert [event.what for event in said] == ["started", "slowed", "finished"]
    entries = {entry["name"]: entry for entry in shop.store.folder("evaluation", cell.key).metrics().values()}
    assert "batch" not in entries["sliced_wasserstein"]
    assert entries["energy_distance"]["batch"] == 128
    assert entries["energy_distance"]["values"]


def test_what_is_tried_once_more_finds_the_memory_free(
    registry: Registry, shop: WorkerContext, cells: list[TrainingCell], monkeypatch: pytest.MonkeyPatch
) -> None:
    import weakref

    held: list[weakref.ref[Tensor]] = []
    true = velocity.in_pieces

    def call(module: Callable[..., Tensor], inputs: Any, pieces: int | None, members: int = 1) -> Tensor:
        if not held:
            large = torch.zeros(8)
            held.append(weakref.ref(large))
            raise torch.OutOfMemoryError(CUDA)
        assert held[0]() is None, "the exception's frames still hold what they had"
        return true(module, inputs, pieces, members)

    monkeypatch.setattr(velocity, "in_pieces", call)
    assert evaluated(shop, evaluation_cell(registry, cells[3], nfe=2))[-1].what == "finished"


def test_a_training_that_runs_out_of_memory_says_what_needs_less(
    registry: Registry, shop: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError(CUDA)

    monkeypatch.setattr(run_task.loop, "train", train)
    said: list[Event] = []
    Computer(shop, said.append)(TrainTask((training_cell(registry, 9),)))
    assert (said[-1].what, said[-1].status) == ("failed", "oom")
    assert "`training.accumulate: 2` (the same batch in more parts), `training.precision: bf16`" in said[-1].text


def test_advice_is_given_only_where_it_can_be_followed(registry: Registry) -> None:
    cell = training_cell(registry, settings={"batch_size": 9, "accumulate": 3, "precision": "bf16"})
    text = str(with_advice(OutOfMemory("no room"), cell))
    assert "`training.accumulate: 9`" in text
    assert "bf16" not in text
    other = CellFailure("wrong")
    assert with_advice(other, cell) is other


def test_a_fleet_that_runs_out_of_memory_is_trained_in_halves(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, sizes, true = context(tmp_path, registry), [], loop.train

    def train(cells: list[TrainingCell], *rest: Any) -> None:
        sizes.append((len(cells), rest[-1]))
        if len(cells) > 2:
            raise torch.OutOfMemoryError(CUDA)
        true(cells, *rest)

    monkeypatch.setattr(train_fleet.loop, "train", train)
    fleet = tuple(training_cell(registry, seed, settings={"steps": 5}) for seed in range(7))
    said: list[Event] = []
    Computer(shop, said.append)(TrainTask(fleet, 7))
    assert [size for size, _ in sizes[:3]] == [7, 4, 2]
    assert {event.key for event in said if event.what == "finished"} == {cell.key for cell in fleet}
    texts = [event.text for event in said if event.what == "slowed"]
    assert "a fleet of 7 failed (OutOfMemoryError: CUDA" in texts[0]
    assert texts[0].endswith("so its cells train as two halves")
    for cell in fleet:
        facts = (shop.store.folder("training", cell.key).result() or {})["facts"]
        assert facts["fleet"] == (1 if cell.key == sizes_alone(said) else 2)


def sizes_alone(said: list[Event]) -> str:
    """Return the key of the training that was begun alone."""
    (alone,) = [event.key for event in said if event.what == "started" and len(event.fleet) < 2]
    return alone


def test_cells_that_are_drawn_together_are_drawn_in_halves(
    registry: Registry, shop: WorkerContext, cells: list[TrainingCell], monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces = [evaluation_cell(registry, cell, nfe=3) for cell in cells]
    tasks = tuple(EvaluateTask(cell.training, (), (Work(cell.key, cell, ()),)) for cell in pieces)
    drawn: list[int] = []
    true = evaluate_fleet.draw_batched

    def draw(members: list[Trained], cell: EvaluationCell) -> Any:
        drawn.append(len(members))
        if len(members) > 2:
            raise torch.OutOfMemoryError(CUDA)
        return true(members, cell)

    monkeypatch.setattr(evaluate_fleet, "draw_batched", draw)
    said: list[Event] = []
    Computer(shop, said.append)(EvaluateFleetTask(tasks))
    assert drawn == [4, 2, 2]
    assert not [event for event in said if event.what == "slowed"]
    assert len([event for event in said if event.what == "finished"]) == 4
    assert load_trained(cells[0], shop).is_intact()
