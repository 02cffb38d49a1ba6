"""Training: paired draws, exact resumption, divergence, and a loss that falls."""

from __future__ import annotations

import itertools
import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import context, training_cell
from safetensors.torch import load_file
from torch import Tensor

from fmbench.cells.cells import TrainingCell
from fmbench.errors import Diverged
from fmbench.model.build import assemble, make_module
from fmbench.model.context import WorkerContext
from fmbench.plugins.registry import Registry
from fmbench.training.batch_sampler import BatchSampler
from fmbench.training.data_loader import DataOrder
from fmbench.training.loop import begin, run_steps, train
from fmbench.training.path_batches import PathBatchSampler


def trained(cell: TrainingCell, shop: WorkerContext) -> dict[str, Tensor]:
    train([cell], shop)
    return load_file(shop.store.folder("training", cell.key).path / "weights.safetensors")


def test_a_training_averages_as_its_cell_says(tmp_path: Path, registry: Registry) -> None:
    """One step: from the initial weights i to w, by i/2 + w/2 at once, and by i/10 + 9w/10 where it is warmed up."""
    shop = context(tmp_path, registry)
    warm, same, cold = (
        trained(training_cell(registry, settings={"steps": 1, "ema": ema}), shop)
        for ema in (0.5, {"decay": 0.5, "warmup": True}, {"decay": 0.5, "warmup": False})
    )
    for name in (name.removeprefix("raw.") for name in warm if name.startswith("raw.")):
        raw = warm[f"raw.{name}"]
        assert torch.equal(warm[f"ema.{name}"], same[f"ema.{name}"])
        assert torch.equal(raw, cold[f"raw.{name}"])
        initial = 2 * cold[f"ema.{name}"] - raw
        torch.testing.assert_close(warm[f"ema.{name}"], initial / 10 + 9 * raw / 10, rtol=0, atol=1e-6)
        assert not torch.equal(warm[f"ema.{name}"], cold[f"ema.{name}"])


class Killed(Exception):
    """Stands in for kill -9: nothing after it runs."""


@pytest.mark.parametrize(
    "names",
    [
        {"network": ("mlp", {"width": 16, "depth": 1})},
        {"network": ("small_unet", {"channels": 8}), "dataset": "digits"},
        {"coupling": ("minibatch_ot", {"pool": 3})},
    ],
)
def test_a_killed_training_goes_on_to_the_same_weights(
    tmp_path: Path, registry: Registry, names: dict[str, Any]
) -> None:
    schedule = {"name": "cosine", "warmup": 5, "final": 0.0}
    cell = training_cell(registry, **{"path": "icfm", **names}, settings={"steps": 12, "schedule": schedule})
    whole = trained(cell, context(tmp_path / "whole", registry))

    shop = context(tmp_path / "killed", registry, checkpoint_seconds=0.0)
    folder = shop.store.folder("training", cell.key)

    def save_then_die(_: TrainingCell, step: int, payload: bytes) -> None:
        folder.checkpoints.save(step, payload)
        if step == 7:
            raise Killed

    with pytest.raises(Killed):
        run_steps(begin([cell], shop), shop, save_then_die, lambda steps: None)
    assert folder.checkpoints.load() is not None
    resumed = trained(cell, context(tmp_path / "killed", registry))

    assert resumed.keys() == whole.keys()
    for name, value in whole.items():
        assert torch.equal(value, resumed[name]), name
    histories = [
        json.loads((tmp_path / place / "store/training" / cell.key / "history.json").read_text())
        for place in ("whole", "killed")
    ]
    assert histories[0] == histories[1]


def test_cells_that_differ_in_path_or_t_distribution_see_the_same_draws(tmp_path: Path, registry: Registry) -> None:
    shop = context(tmp_path, registry)
    batches = []
    variants: list[dict[str, Any]] = [{}, {"path": "icfm"}, {"t_distribution": "u_shaped"}, {"path": "cosine"}]
    for names in variants:
        cell = training_cell(registry, **names)
        samples = PathBatchSampler([cell], [assemble(cell, shop)], shop)
        batches.append([samples.draw(step)[0].sample for step in range(3)])
    for others in batches[1:]:
        for mine, theirs in zip(batches[0], others, strict=True):
            assert torch.equal(mine.x_0, theirs.x_0)
            assert torch.equal(mine.x_1, theirs.x_1)
    assert torch.equal(batches[0][0].t, batches[1][0].t)
    assert torch.equal(batches[0][0].t.argsort(), batches[2][0].t.argsort())


def test_a_pool_pairs_several_batches_at_once(tmp_path: Path, registry: Registry) -> None:
    """The source and the data of a pool are those of its batches; only who meets whom is decided over all of them."""
    shop = context(tmp_path, registry)
    seen = {}
    for coupling in ("independent", ("minibatch_ot", {}), ("minibatch_ot", {"pool": 4})):
        cell = training_cell(registry, coupling=coupling)
        draws = BatchSampler(cell, assemble(cell, shop), shop)
        seen[str(cell.coupling)] = [draws.batch(step) for step in range(8)]
    alone, single, pooled = seen.values()
    for batch in range(8):
        assert torch.equal(alone[batch].x_1, pooled[batch].x_1)
        assert sorted(alone[batch].x_0.tolist()) == sorted(single[batch].x_0.tolist())
        assert torch.equal(alone[batch].u, pooled[batch].u)
    for first in (0, 4):
        members = [torch.cat([b.x_0 for b in batches[first : first + 4]]) for batches in (alone, pooled)]
        assert sorted(members[0].tolist()) == sorted(members[1].tolist())
    costs = [sum((b.x_1 - b.x_0).square().sum() for b in batches) for batches in (alone, single, pooled)]
    assert costs[2] < costs[1] < costs[0]


def test_seeds_change_every_draw_and_the_initial_weights(tmp_path: Path, registry: Registry) -> None:
    shop = context(tmp_path, registry)
    cells = [training_cell(registry, seed=seed) for seed in (0, 1)]
    assert cells[0].key != cells[1].key
    parts = [assemble(cell, shop) for cell in cells]
    weights = [
        torch.cat([p.flatten() for p in make_module(c, p, "cpu").parameters()])
        for c, p in zip(cells, parts, strict=True)
    ]
    assert not torch.equal(*weights)
    samples = [BatchSampler(c, p, shop).batch(0) for c, p in zip(cells, parts, strict=True)]
    for field in ("x_0", "x_1", "u"):
        assert not torch.equal(getattr(samples[0], field), getattr(samples[1], field))


@pytest.mark.parametrize(("size", "batch"), [(100, 32), (10, 64), (64, 64)])
def test_each_pass_over_the_data_sees_every_row_once(registry: Registry, size: int, batch: int) -> None:
    cell = training_cell(registry, settings={"batch_size": batch})
    steps = -(-3 * size // batch)
    order = DataOrder(cell, size, "cpu")
    rows = torch.cat([order.of(range(step, step + 1)) for step in range(steps)])
    assert torch.equal(order.of(range(steps)), rows)
    for number in range(3):
        assert torch.equal(rows[number * size : (number + 1) * size].sort().values, torch.arange(size))
    last = range(steps - 1, steps)
    assert torch.equal(DataOrder(cell, size, "cpu").of(last), order.of(last))


def test_the_loss_falls_and_its_history_covers_every_step(tmp_path: Path, registry: Registry) -> None:
    cell = training_cell(registry, settings={"steps": 300})
    shop = context(tmp_path, registry)
    seen: list[int] = []
    train([cell], shop, seen.append)
    folder = shop.store.folder("training", cell.key)
    history = json.loads(folder.read("history.json"))
    steps, losses = zip(*history, strict=True)
    assert steps[-1] == 300 == sum(seen)
    assert list(steps) == sorted(set(steps))
    assert sum(losses[-20:]) < 0.8 * sum(losses[:20])
    facts = (folder.result() or {})["facts"]
    assert facts["steps"] == 300
    assert facts["parameters"] == sum(p.numel() for p in make_module(cell, assemble(cell, shop), "cpu").parameters())
    assert facts["precision"] == "float32"


def test_a_loss_that_is_not_finite_is_divergence(tmp_path: Path, registry: Registry) -> None:
    sgd = {"name": "sgd", "lr": 1e6, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0}
    cell = training_cell(registry, settings={"optimizer": sgd})
    shop = context(tmp_path, registry)
    with pytest.raises(Diverged, match="step"):
        train([cell], shop)
    assert shop.store.folder("training", cell.key).result() is None


def test_a_clock_that_is_set_changes_no_time_that_is_measured(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    true, steps = time.time, itertools.count()
    monkeypatch.setattr(time, "time", lambda: true() + 1e5 * (-1) ** next(steps))
    cell, shop, began = training_cell(registry, settings={"steps": 30}), context(tmp_path, registry), time.monotonic()
    train([cell], shop)
    facts = (shop.store.folder("training", cell.key).result() or {})["facts"]
    assert 0 < facts["seconds"] <= time.monotonic() - began


def test_label_dropout_takes_labels_away_at_its_rate(tmp_path: Path, registry: Registry) -> None:
    settings = {"class_conditional": True, "label_dropout": 0.25, "batch_size": 1000}
    cell = training_cell(registry, dataset="digits", settings=settings)
    shop = context(tmp_path, registry)
    parts = assemble(cell, shop)
    _, y = shop.data(cell.dataset, "train")
    sample = BatchSampler(cell, parts, shop).batch(0)
    assert sample.y is not None
    assert y is not None
    y = y[DataOrder(cell, len(y), "cpu").of(range(1))]
    dropped = sample.y == 10
    assert 0.2 < dropped.float().mean() < 0.3
    assert torch.equal(sample.y[~dropped], y[~dropped])
