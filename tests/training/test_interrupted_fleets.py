"""A fleet that is interrupted, wherever that is, ends in the bits in which it would have ended undisturbed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import context, training_cell

from fmbench.cells.cells import TrainingCell
from fmbench.errors import Diverged
from fmbench.executors.messages import Event
from fmbench.executors.run_task import Computer
from fmbench.executors.tasks import TrainTask
from fmbench.model.context import WorkerContext
from fmbench.plugins.registry import Registry
from fmbench.runtime import memory
from fmbench.store import fleet_records
from fmbench.store.cell_folder import CellFolder
from fmbench.store.checkpoints import Checkpoints
from fmbench.store.fleet_records import complete_endings, finish_together, record_fleets, recorded_fleets
from fmbench.training.loop import train

STEPS, SAVED = 16, 4
"""Steps of a training, and those whose checkpoints were saved before the kill."""
ODD: dict[str, Any] = {"network": ("mlp", {"width": 33, "depth": 2})}
"""A network whose last bits depend on how many are trained together, and with whom."""
EXPLODES = ("displacement_over_t", {"clip": 1e-5})
SGD = {"name": "sgd", "lr": 0.1, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0}


class Killed(BaseException):
    """Stands in for SIGKILL: nothing that happens after it is kept."""


def fleet_of(registry: Registry, **settings: Any) -> list[TrainingCell]:
    settings = {"steps": STEPS, "batch_size": 50, **settings}
    paths = ("linear", "cosine", "cosine")
    return [training_cell(registry, seed, settings, path=path, **ODD) for seed, path in enumerate(paths)]


def weights(cells: list[TrainingCell], shop: WorkerContext) -> list[bytes]:
    return [shop.store.folder("training", cell.key).read("weights.safetensors") for cell in cells]


def after(calls: int, call: Callable[..., None]) -> Callable[..., None]:
    """Return a function that does what another does, and is killed in place of call number `calls`, from 0."""
    left = [calls]

    def counted(*arguments: Any, **options: Any) -> None:
        if left[0] == 0:
            raise Killed
        left[0] -= 1
        call(*arguments, **options)

    return counted


@pytest.fixture
def every_step(registry: Registry, tmp_path: Path) -> WorkerContext:
    """Return a context in which a checkpoint is saved after each step."""
    return context(tmp_path / "disturbed", registry, checkpoint_seconds=0.0)


@pytest.fixture(scope="module")
def undisturbed(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Return the weights of a fleet that nobody killed."""
    shop = context(tmp_path_factory.mktemp("undisturbed"), registry)
    train(fleet_of(registry), shop)
    return weights(fleet_of(registry), shop)


@pytest.mark.parametrize("saved", [1, 3 * SAVED, 3 * SAVED + 2])
def test_a_kill_between_the_checkpoints_of_two_members_changes_nothing(
    registry: Registry,
    every_step: WorkerContext,
    undisturbed: list[bytes],
    monkeypatch: pytest.MonkeyPatch,
    saved: int,
) -> None:
    cells = fleet_of(registry)
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", after(saved, Checkpoints.save))
        with pytest.raises(Killed):
            train(cells, every_step)
    left = [every_step.store.folder("training", cell.key).checkpoints.steps() for cell in cells]
    assert sum(map(len, left)) == (saved if saved < 3 else 3 + saved % 3)
    begun: list[int] = []
    train(cells, every_step, begun.append)
    assert sum(begun) == 3 * STEPS
    assert begun[0] == (3 * SAVED if saved >= 3 * SAVED else 3)
    assert weights(cells, every_step) == undisturbed
    assert not any(every_step.store.folder("training", cell.key).checkpoints.steps() for cell in cells)


@pytest.mark.parametrize("finished", [0, 2])
def test_a_kill_between_the_endings_of_two_members_changes_nothing(
    registry: Registry,
    every_step: WorkerContext,
    undisturbed: list[bytes],
    monkeypatch: pytest.MonkeyPatch,
    finished: int,
) -> None:
    cells = fleet_of(registry)
    with monkeypatch.context() as patch:
        patch.setattr(CellFolder, "finish_with", after(finished, CellFolder.finish_with))
        with pytest.raises(Killed):
            train(cells, every_step)
    left = [cell for cell in cells if every_step.store.folder("training", cell.key).recorded() is None]
    assert len(left) == 3 - finished
    said: list[Event] = []
    Computer(every_step, said.append)(TrainTask(tuple(left), len(left)))
    assert {(event.what, event.key) for event in said if event.what != "started"} == {("finished", c.key) for c in left}
    assert not [event for event in said if event.what == "advanced"], "nothing is trained again"
    assert weights(cells, every_step) == undisturbed
    assert not list((every_step.store.root / "fleets").glob("ended-*"))


@pytest.mark.parametrize("saved_before", [False, True])
def test_a_member_that_diverged_before_the_kill_is_there_again_as_long_as_it_was(
    tmp_path: Path, registry: Registry, every_step: WorkerContext, saved_before: bool
) -> None:
    """Killed after a member diverged and before the next checkpoint: the others' last one is of a step before that."""
    settings = {"steps": STEPS, "batch_size": 50, "optimizer": SGD}
    good = [training_cell(registry, seed, settings, **ODD) for seed in (0, 1)]
    bad = training_cell(registry, 0, settings, objective=EXPLODES, **ODD)
    lost: list[str] = []

    def note(cell: TrainingCell, failure: Diverged) -> None:
        lost.append(cell.key)

    undisturbed = context(tmp_path / "undisturbed", registry)
    train([*good, bad], undisturbed, failed=note)
    assert lost == [bad.key]

    def killed(cell: TrainingCell, failure: Diverged) -> None:
        raise Killed

    shop = every_step if saved_before else context(tmp_path / "disturbed", registry)
    with pytest.raises(Killed):
        train([*good, bad], shop, failed=killed)
    assert any(shop.store.folder("training", cell.key).checkpoints.steps() for cell in good) == saved_before
    train(good, shop, failed=killed, size=3, ghosts=[bad])
    assert weights(good, shop) == weights(good, undisturbed)
    facts = [shop.store.folder("training", cell.key).result() or {} for cell in good]
    assert {each["facts"]["fleet"] for each in facts} == {3}
    assert not shop.store.folder("training", bad.key).recorded()


def test_the_ghost_of_a_member_that_was_gone_before_the_last_checkpoint_is_not_there(
    tmp_path: Path, registry: Registry, every_step: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"steps": STEPS, "batch_size": 50, "optimizer": SGD}
    good = [training_cell(registry, seed, settings, **ODD) for seed in (0, 1)]
    bad = training_cell(registry, 0, settings, objective=EXPLODES, **ODD)
    undisturbed = context(tmp_path / "undisturbed", registry)
    train([*good, bad], undisturbed, failed=lambda cell, failure: None)
    with monkeypatch.context() as patch:
        patch.setattr("fmbench.training.loop.keep", after(0, memory.give_memory_back))
        with pytest.raises(Killed):
            train([*good, bad], every_step, failed=lambda cell, failure: None)
    steps = {cell.key: every_step.store.folder("training", cell.key).checkpoints.steps() for cell in (*good, bad)}
    assert steps[bad.key] < steps[good[0].key] == steps[good[1].key] == [STEPS - 1]
    begun: list[int] = []
    train(good, every_step, begun.append, size=3, ghosts=[bad])
    assert begun[0] == 2 * (STEPS - 1)
    assert weights(good, every_step) == weights(good, undisturbed)


def test_of_several_drivers_one_composes_the_fleets(tmp_path: Path, registry: Registry) -> None:
    keys = [cell.key for cell in fleet_of(registry)]
    assert recorded_fleets(tmp_path, "name") == []
    assert record_fleets(tmp_path, "name", [keys[:2], keys[2:]]) == [tuple(keys[:2]), (keys[2],)]
    file = fleet_records._composition(tmp_path, "name", 0)
    assert not fleet_records.write_sealed_once(file, {"fleets": [keys]})
    assert recorded_fleets(tmp_path, "name") == [tuple(keys[:2]), (keys[2],)]
    file.write_bytes(file.read_bytes()[:-9])  # a damaged record is none
    assert recorded_fleets(tmp_path, "name") == []
    assert record_fleets(tmp_path, "name", [keys]) == [tuple(keys)]


def test_who_completes_an_ending_needs_only_the_cells_that_are_left(tmp_path: Path, registry: Registry) -> None:
    shop = context(tmp_path, registry)
    folders = {cell.key: shop.store.folder("training", cell.key) for cell in fleet_of(registry)}
    endings = []
    for folder in folders.values():
        for name in ("weights.safetensors", "history.json"):
            folder.write(name, b"[]")
        endings.append((folder, {"facts": {"seconds": 1.0}}, ("weights.safetensors", "history.json")))
    first, *others = folders
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CellFolder, "finish_with", after(0, CellFolder.finish_with))
        with pytest.raises(Killed):
            finish_together(shop.store.root, endings)
    complete_endings(shop.store.root, {first: folders[first]})
    assert [folder.recorded() is not None for folder in folders.values()] == [True, False, False]
    complete_endings(shop.store.root, {key: folders[key] for key in others})
    assert all(folder.result() is not None for folder in folders.values())
    assert not list((shop.store.root / "fleets").iterdir())
