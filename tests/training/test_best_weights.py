"""The best weights: those of the least loss on validation data, which alone choose."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import context, training_cell
from safetensors.torch import load as load_safetensors

from fmbench.cells.cells import TrainingCell
from fmbench.cells.snapshots import BEST, BEST_POINTS, Kept, WeightsSnapshot, points
from fmbench.errors import DataError
from fmbench.model.build import assemble
from fmbench.model.context import WorkerContext
from fmbench.model.trained_model import load_trained
from fmbench.plugins.registry import Registry
from fmbench.store.snapshots import WEIGHTS_FILE, snapshot_folder
from fmbench.training import validation
from fmbench.training.best_weights import BestWeights
from fmbench.training.loop import train
from fmbench.training.validation import Validation

SETTINGS: dict[str, Any] = {"steps": 60, "ema": 0.0, "optimizer": {"name": "adam", "lr": 0.3, "weight_decay": 0.0}}
"""A learning rate at which the loss jumps about, so that the last weights are hardly the best."""


def best_cell(registry: Registry, seed: int = 0, **names: Any) -> TrainingCell:
    cell = training_cell(registry, seed, settings={**SETTINGS, **names.pop("settings", {})}, **names)
    return replace(cell, kept=Kept(tuple(points(cell.settings["steps"], BEST_POINTS)[:-1]), best=True))


def facts_of(cell: TrainingCell, shop: WorkerContext) -> dict[str, Any]:
    folder = snapshot_folder(shop.store, cell.key, WeightsSnapshot(BEST, cell.settings["steps"]))
    found: dict[str, Any] = (folder.result() or {})["facts"]
    return found


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("ema", [0.0, 0.5])
def test_they_are_those_of_the_point_with_the_least_loss(
    tmp_path: Path, registry: Registry, members: int, ema: float
) -> None:
    shop = context(tmp_path, registry)
    cells = [best_cell(registry, seed, settings={"ema": ema}) for seed in range(members)]
    train(cells, shop)
    chosen = set()
    for cell in cells:
        facts = facts_of(cell, shop)
        steps, losses = zip(*facts["validation"], strict=True)
        assert steps == points(60, BEST_POINTS)
        assert len(steps) == BEST_POINTS
        assert facts["steps"] == steps[losses.index(min(losses))]
        assert facts["validation_seconds"] > 0
        trained = load_trained(cell, shop)
        judge = Validation(cell, assemble(cell, shop), shop)
        for step, loss in zip(steps, losses, strict=True):
            trained.velocity(weights="ema" if step == 60 else f"ema at step {step}")
            assert judge.loss(trained.module.state_dict()) == pytest.approx(loss, rel=1e-5)
        trained.velocity(weights=BEST)
        assert judge.loss(trained.module.state_dict()) == pytest.approx(min(losses), rel=1e-5)
        chosen.add(facts["steps"])
    assert chosen != {60}


def test_the_same_examples_and_noise_judge_all_cells_of_a_seed(tmp_path: Path, registry: Registry) -> None:
    shop = context(tmp_path, registry)
    cells = [
        training_cell(registry, **names)
        for names in ({}, {"path": "cosine"}, {"t_distribution": "u_shaped"}, {"network": ("mlp", {"width": 4})})
    ]
    samples = [Validation(cell, assemble(cell, shop), shop)._sample for cell in cells]
    held_out, _ = shop.data(cells[0].dataset, "validation")
    for cell, sample in zip(cells, samples, strict=True):
        assert torch.equal(sample.x_1, held_out)
        assert torch.equal(sample.x_0, samples[0].x_0)
        t_distribution = assemble(cell, shop).t_distribution
        middles = t_distribution.quantile((torch.arange(len(held_out)) + 0.5) / len(held_out))
        torch.testing.assert_close(sample.t.sort().values, middles.sort().values)
    assert torch.equal(samples[0].t.argsort(), samples[2].t.argsort())
    other = Validation(replace(cells[0], seed=1), assemble(cells[0], shop), shop)._sample
    assert not torch.equal(other.x_0, samples[0].x_0)


@pytest.mark.parametrize("coupling", ["minibatch_ot", ("minibatch_ot", {"pool": 2})])
def test_noise_meets_data_as_the_coupling_has_it(tmp_path: Path, registry: Registry, coupling: Any) -> None:
    shop = context(tmp_path, registry)
    own, plain = (training_cell(registry, coupling=each) for each in (coupling, "independent"))
    found = [Validation(cell, assemble(cell, shop), shop)._sample for cell in (own, plain)]
    assert sorted(found[0].x_0.tolist()) == sorted(found[1].x_0.tolist())
    costs = [float((sample.x_1 - sample.x_0).square().sum()) for sample in found]
    assert costs[0] < costs[1]


def test_no_more_examples_are_looked_at_than_are_needed(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validation, "EXAMPLES", 50)
    cell, shop = training_cell(registry), context(tmp_path, registry)
    assert len(Validation(cell, assemble(cell, shop), shop)._sample.x_t) == 50


@pytest.mark.parametrize("dataset", ["moons", "gaussian_on_circle"])
def test_the_network_is_told_conditions_and_none_is_hidden(tmp_path: Path, registry: Registry, dataset: str) -> None:
    settings = {"class_conditional": True, "label_dropout": 0.5}
    cell, shop = training_cell(registry, settings=settings, dataset=dataset), context(tmp_path, registry)
    sample = Validation(cell, assemble(cell, shop), shop)._sample
    _, conditions = shop.data(cell.dataset, "validation")
    assert sample.y is not None
    assert conditions is not None
    assert torch.equal(sample.y, conditions[: validation.EXAMPLES])


def test_judging_draws_from_nobody_else(tmp_path: Path, registry: Registry) -> None:
    cell, shop = training_cell(registry), context(tmp_path, registry)
    torch.manual_seed(5)
    judge = Validation(cell, assemble(cell, shop), shop)
    module = load_module(cell, shop)
    first = judge.loss(module.state_dict())
    drawn = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(3))
    assert judge.loss(module.state_dict()) == first


def load_module(cell: TrainingCell, shop: WorkerContext) -> torch.nn.Module:
    from fmbench.model.build import make_module

    return make_module(cell, assemble(cell, shop), shop.device)


def test_test_data_choose_nothing(tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = context(tmp_path, registry)
    cell = best_cell(registry)
    dataset = shop.build(cell.dataset)
    load = type(dataset).load

    def guarded(self: Any, split: str) -> Any:
        assert split != "test", "training asked for test data"
        return load(self, split)

    monkeypatch.setattr(type(dataset), "load", guarded)
    train([cell], shop)
    assert facts_of(cell, shop)["validation"]


def test_data_that_hold_nothing_out_judge_nothing(tmp_path: Path, registry: Registry) -> None:
    cell = best_cell(registry, dataset="digits", network=("mlp", {"width": 8}))
    with pytest.raises(DataError, match="digits has no validation split"):
        train([cell], context(tmp_path, registry))


def test_a_loss_that_is_not_finite_is_never_the_least() -> None:
    best = BestWeights()
    nan, inf = float("nan"), float("inf")
    assert [best.note(step, loss) for step, loss in enumerate([nan, inf, 3.0, nan, 3.0, 2.0, inf])] == [
        True,
        False,
        True,
        False,
        False,
        True,
        False,
    ]


def test_the_file_holds_one_state_of_the_network(tmp_path: Path, registry: Registry) -> None:
    shop, cell = context(tmp_path, registry), best_cell(registry)
    train([cell], shop)
    folder = snapshot_folder(shop.store, cell.key, WeightsSnapshot(BEST, 60))
    names = {f"best.{name}" for name in load_module(cell, shop).state_dict()}
    assert set(load_safetensors(folder.read(WEIGHTS_FILE))) == names
