"""Weights on the way of a training: those of a training of that length, kept whatever stops it, and without a trace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import context, training_cell
from safetensors.torch import load as load_safetensors
from torch import Tensor

from fmbench.cells.cells import TrainingCell
from fmbench.cells.snapshots import Kept, WeightsSnapshot
from fmbench.errors import CellFailure, Diverged
from fmbench.model.context import WorkerContext
from fmbench.model.trained_model import load_trained
from fmbench.plugins.registry import Registry
from fmbench.store.snapshots import WEIGHTS_FILE, lacking_snapshots, snapshot_folder
from fmbench.training import loop
from fmbench.training.courses import course_of
from fmbench.training.loop import train

STEPS = 20


def cell_with(registry: Registry, *at_steps: int, kept: Kept | None = None, **names: Any) -> TrainingCell:
    """Return a cell of which the weights of some steps are to be kept."""
    settings = {"steps": STEPS, **names.pop("settings", {})}
    cell = training_cell(registry, settings=settings, **names)
    return replace(cell, kept=kept or Kept(tuple(at_steps)))


def last_weights(cell: TrainingCell, shop: WorkerContext) -> dict[str, Tensor]:
    return load_safetensors(shop.store.folder("training", cell.key).read(WEIGHTS_FILE))


def weights_at(cell: TrainingCell, step: int, shop: WorkerContext) -> dict[str, Tensor]:
    return load_safetensors(snapshot_folder(shop.store, cell.key, WeightsSnapshot("step", step)).read(WEIGHTS_FILE))


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def files(shop: WorkerContext, section: str) -> dict[str, bytes]:
    return {
        f"{file.parent.name}/{file.name}": file.read_bytes()
        for file in sorted((shop.store.root / section).rglob("*"))
        if file.is_file() and not file.name.startswith(".")
    }


def killed_at(step: int, cells: Sequence[TrainingCell], shop: WorkerContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train until the checkpoint of a step was written, and no further."""

    def save(original: Any, *given: Any) -> None:
        original(*given)
        if given[-2] == step and given[-3].key == last.key:
            raise KeyboardInterrupt

    last = sorted(cells, key=lambda cell: cell.seed)[-1]
    with monkeypatch.context() as patch:
        patch.setattr(loop, "_save_checkpoint", partial(save, loop._save_checkpoint))
        with pytest.raises(KeyboardInterrupt):
            train(cells, shop)


def test_they_are_the_weights_of_a_training_that_ends_there(tmp_path: Path, registry: Registry) -> None:
    shop, alone = context(tmp_path / "both", registry), context(tmp_path / "alone", registry)
    cell = cell_with(registry, 7, 12)
    train([cell], shop)
    for step in (7, 12):
        shorter = training_cell(registry, settings={"steps": step})
        train([shorter], alone)
        assert same(weights_at(cell, step, shop), last_weights(shorter, alone))
    facts = [snapshot_folder(shop.store, cell.key, s).recorded()["facts"] for s in cell.snapshots]  # type: ignore[index]
    whole = shop.store.folder("training", cell.key).recorded()["facts"]  # type: ignore[index]
    assert [each["steps"] for each in facts] == [7, 12]
    assert 0 < facts[0]["seconds"] < facts[1]["seconds"] < whole["seconds"]


@pytest.mark.parametrize("kept", [Kept((7,)), Kept(best=True), Kept(post_hoc_ema=True), Kept((3,), True, True, True)])
def test_what_is_kept_changes_neither_key_nor_weights(tmp_path: Path, registry: Registry, kept: Kept) -> None:
    plain, asked = cell_with(registry), cell_with(registry, kept=kept)
    assert plain.key == asked.key
    assert plain.fleet_key == asked.fleet_key
    assert plain == asked
    shops = [context(tmp_path / name, registry) for name in ("plain", "asked")]
    for cell, shop in zip((plain, asked), shops, strict=True):
        train([cell], shop)
    assert same(last_weights(plain, shops[0]), last_weights(asked, shops[1]))
    histories = [shop.store.folder("training", plain.key).history() for shop in shops]
    assert histories[0] == histories[1]
    assert not (shops[0].store.root / "snapshot").exists()
    assert not lacking_snapshots(shops[1].store, asked)


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("kept", [Kept((7, 12)), Kept((7,), best=True, post_hoc_ema=True)])
def test_a_killed_training_leaves_the_same(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch, members: int, kept: Kept
) -> None:
    cells = [cell_with(registry, kept=kept, seed=seed) for seed in range(members)]
    whole, killed = (context(tmp_path / name, registry, checkpoint_seconds=0.0) for name in ("whole", "killed"))
    train(cells, whole)
    killed_at(10, cells, killed, monkeypatch)
    assert all(course_of(cell, killed).first == 10 for cell in cells)
    train(cells, context(tmp_path / "killed", registry))
    for cell in cells:
        assert same(last_weights(cell, whole), last_weights(cell, killed))
        for snapshot in cell.snapshots:
            one, other = (
                load_safetensors(snapshot_folder(shop.store, cell.key, snapshot).read(WEIGHTS_FILE))
                for shop in (whole, killed)
            )
            assert same(one, other), snapshot


def test_a_checkpoint_counts_only_where_nothing_is_lacking_before_it(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = context(tmp_path, registry, checkpoint_seconds=0.0)
    cell = cell_with(registry, 5)
    killed_at(10, [cell], shop, monkeypatch)
    assert course_of(cell, shop).first == 10
    assert course_of(replace(cell, kept=Kept((5, 10, 15))), shop).first == 0  # of step 10, the training is past
    assert course_of(replace(cell, kept=Kept((5, 11, 15))), shop).first == 10
    assert course_of(replace(cell, kept=Kept(best=True)), shop).first == 0
    assert course_of(replace(cell, kept=Kept(post_hoc_ema=True)), shop).first == 0
    snapshot_folder(shop.store, cell.key, WeightsSnapshot("step", 5)).discard()
    assert course_of(cell, shop).first == 0


@pytest.mark.parametrize("members", [1, 2])
def test_a_finished_training_is_trained_again_as_far_as_needed_and_keeps_its_weights(
    tmp_path: Path, registry: Registry, members: int
) -> None:
    shop, once = context(tmp_path / "twice", registry), context(tmp_path / "once", registry)
    cells = [cell_with(registry, 4, seed=seed) for seed in range(members)]
    train(cells, shop)
    before = files(shop, "training")
    more = [replace(cell, kept=Kept((4, 9))) for cell in cells]
    steps: list[int] = []
    train(more, shop, steps.append)
    assert sum(steps) == 9 * members
    assert files(shop, "training") == before
    train(more, once)
    for cell in more:
        assert same(weights_at(cell, 9, shop), weights_at(cell, 9, once))


def test_what_is_trained_again_and_killed_goes_on(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = context(tmp_path, registry, checkpoint_seconds=0.0)
    train([cell_with(registry)], shop)
    before = files(shop, "training")
    cell = cell_with(registry, 4, 15)
    killed_at(9, [cell], shop, monkeypatch)
    assert lacking_snapshots(shop.store, cell) == (WeightsSnapshot("step", 15),)
    course = course_of(cell, shop)
    assert (course.first, course.until, course.is_trained) == (9, 15, True)
    train([cell], shop)
    assert files(shop, "training") == before
    assert not lacking_snapshots(shop.store, cell)


def test_a_damaged_one_is_lacking_and_made_again(tmp_path: Path, registry: Registry) -> None:
    shop = context(tmp_path, registry)
    cell = cell_with(registry, 4, 9)
    train([cell], shop)
    file = snapshot_folder(shop.store, cell.key, WeightsSnapshot("step", 4)).path / WEIGHTS_FILE
    intact = file.read_bytes()
    file.write_bytes(intact[:-1] + bytes([intact[-1] ^ 1]))
    trained = load_trained(cell, shop)
    assert lacking_snapshots(shop.store, cell) == (WeightsSnapshot("step", 4),)
    with pytest.raises(CellFailure, match=r"checksum on record; `fmbench retry` trains as far as is needed"):
        trained.velocity(weights="ema at step 4")
    assert not file.exists()
    with pytest.raises(CellFailure, match=f"the weights of step 4 of training {cell.key} are not in the store"):
        trained.velocity(weights="ema at step 4")
    train([cell], shop)
    assert file.read_bytes() == intact
    assert not lacking_snapshots(shop.store, cell)


def test_a_network_is_given_the_weights_of_each_step_in_turn(tmp_path: Path, registry: Registry) -> None:
    shop = context(tmp_path, registry)
    cell = cell_with(registry, 4, 9)
    train([cell], shop)
    trained = load_trained(cell, shop)
    for name, saved in (("ema at step 4", 4), ("raw at step 9", 9), ("ema", None), ("raw at step 4", 4)):
        trained.velocity(weights=name)
        found = last_weights(cell, shop) if saved is None else weights_at(cell, saved, shop)
        prefix = name.partition(" ")[0]
        for parameter, value in trained.module.state_dict().items():
            assert torch.equal(value, found[f"{prefix}.{parameter}"])
        assert trained.is_intact()
    next(trained.module.parameters()).add_(1)
    assert not trained.is_intact()


def test_a_member_that_diverges_leaves_the_snapshots_of_the_others(tmp_path: Path, registry: Registry) -> None:
    shop, alone = context(tmp_path / "fleet", registry), context(tmp_path / "alone", registry)
    settings = {"optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0}}
    steady = [cell_with(registry, 7, 15, seed=seed, settings=settings) for seed in (0, 1)]
    wild = cell_with(registry, 7, 15, seed=0, settings=settings, path=("icfm", {"sigma": 1e18}))
    lost: list[tuple[TrainingCell, Diverged]] = []
    train([*steady, wild], shop, failed=lambda *given: lost.append(given))
    assert [cell.key for cell, _ in lost] == [wild.key]
    assert not shop.store.folder("training", wild.key).recorded()
    for cell in steady:
        train([cell], alone)
        assert not lacking_snapshots(shop.store, cell)
        for step in (7, 15):
            one, other = weights_at(cell, step, shop), weights_at(cell, step, alone)
            for name, value in one.items():
                torch.testing.assert_close(value, other[name], rtol=1e-4, atol=1e-5)


def test_a_training_that_keeps_nothing_makes_nothing_for_it(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []
    monkeypatch.setattr(loop.Snapshots, "take", lambda self, state: taken.append(state.step) or {})
    train([cell_with(registry)], context(tmp_path / "plain", registry))
    assert not taken
    train([cell_with(registry, 3)], context(tmp_path / "asked", registry))
    assert taken == [3]


def test_one_that_is_all_there_is_not_trained_at_all(tmp_path: Path, registry: Registry) -> None:
    shop = context(tmp_path, registry)
    cell = cell_with(registry, 4)
    train([cell], shop)
    before = files(shop, "training") | files(shop, "snapshot")
    steps: list[int] = []
    train([cell], shop, steps.append)
    assert sum(steps) == 0
    assert files(shop, "training") | files(shop, "snapshot") == before


def test_checkpoints_with_and_without_averages_are_no_fleet(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, whole = (context(tmp_path / name, registry, checkpoint_seconds=0.0) for name in ("killed", "whole"))
    cells = [cell_with(registry, kept=Kept(post_hoc_ema=seed == 1), seed=seed) for seed in (0, 1)]
    for cell in cells:
        killed_at(10, [cell], shop, monkeypatch)
        train([cell], whole)
    train(cells, shop)
    for cell in cells:
        assert same(last_weights(cell, whole), last_weights(cell, shop))
        assert not lacking_snapshots(shop.store, cell)


def test_what_evaluations_of_one_step_share_goes_with_its_weights(tmp_path: Path, registry: Registry) -> None:
    shop = context(tmp_path, registry)
    cell = cell_with(registry, 4, 9)
    train([cell], shop)
    trained = load_trained(cell, shop)
    kept = []
    for name in ("ema at step 4", "ema at step 9"):
        trained.sharing(trained.velocity(weights=name), 1.0, name)
        kept.append(trained.remembered(1.0, name))
        trained.velocity(weights=name)
        assert trained.remembered(1.0, name) is kept[-1]
    assert len(trained._shared) == len(trained._remembered) == 1
