"""Condition vectors from data to samples: what a network is told, what dropout hides, and that samples answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import context, evaluation_cell, training_cell
from safetensors.torch import load_file
from torch import nn

from fmbench.cells.cells import TrainingCell
from fmbench.components.contracts import Network
from fmbench.errors import UserError
from fmbench.evaluation.batched_sampling import draw_batched
from fmbench.evaluation.evaluate import evaluate
from fmbench.evaluation.flow_snapshots import take_flow_snapshot
from fmbench.evaluation.sampling import Drawn, draw_samples
from fmbench.model.build import assemble, build_network
from fmbench.model.context import WorkerContext
from fmbench.model.trained_model import Trained, load_trained
from fmbench.plugins.registry import Registry
from fmbench.training import pairing
from fmbench.training.batch_sampler import BatchSampler
from fmbench.training.data_loader import DataOrder, Prefetched
from fmbench.training.loop import train
from fmbench.training.teacher import with_teacher

CIRCLE = ("gaussian_on_circle", {"size": 2000})
TOLD = {"class_conditional": True, "label_dropout": 0.25}
RADIUS, DEVIATION = 4.0, 0.5


def circle_cell(
    registry: Registry, seed: int = 0, settings: dict[str, Any] | None = None, **names: Any
) -> TrainingCell:
    return training_cell(registry, seed, {**TOLD, **(settings or {})}, dataset=CIRCLE, **names)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, registry: Registry) -> WorkerContext:
    return context(tmp_path_factory.mktemp("conditions"), registry)


@pytest.fixture(scope="module")
def trained(registry: Registry, shop: WorkerContext) -> Trained:
    """A network that has learnt."""
    settings = {"steps": 800, "batch_size": 256, "ema": 0.98}
    cell = circle_cell(registry, settings=settings, network=("mlp", {"width": 64, "depth": 2}))
    train([cell], shop)
    return load_trained(cell, shop)


def drawn(trained: Trained, registry: Registry, guidance: float = 1.0) -> Drawn:
    cell = replace(evaluation_cell(registry, trained.cell, nfe=40, samples=1000), guidance=guidance)
    with torch.no_grad():
        return draw_samples(trained, cell, trained.velocity(guidance))


def test_samples_answer_their_condition(trained: Trained, registry: Registry) -> None:
    found = drawn(trained, registry)
    assert found.labels is not None
    rest = found.samples - RADIUS * found.labels
    assert rest.mean(0).norm() < 0.2
    assert 0.7 * DEVIATION < rest.std() < 1.6 * DEVIATION
    others = found.samples - RADIUS * found.labels.roll(1, 0)
    assert others.square().sum(1).mean() > 10 * rest.square().sum(1).mean()


def test_without_a_condition_samples_are_the_ring(trained: Trained, registry: Registry) -> None:
    found = drawn(trained, registry, guidance=0.0)
    assert found.labels is not None
    assert (found.samples.norm(dim=1).mean() - RADIUS).abs() < 0.5
    assert (found.samples * found.labels).sum(1).mean().abs() < 0.5, "they do not follow the condition"


def test_guidance_mixes_the_velocities_with_and_without(trained: Trained) -> None:
    x, t, y = trained.source(0, 5), torch.full((5,), 0.5), trained.labels(0, 5)
    found = {}
    for guidance in (0.0, 1.0, 3.0):
        field = trained.velocity(guidance)
        field.y = y
        found[guidance] = field(x, t)
    field = trained.velocity(1.0)
    field.y = torch.full((5, 2), torch.nan)
    torch.testing.assert_close(field(x, t), found[0.0])
    torch.testing.assert_close(found[3.0], found[0.0] + 3 * (found[1.0] - found[0.0]))


def test_conditions_are_those_of_the_test_split_and_follow_from_the_seed(
    registry: Registry, shop: WorkerContext, trained: Trained
) -> None:
    _, y = shop.data(trained.cell.dataset, "test")
    assert y is not None
    n = len(y)
    twice = trained.labels(0, 2 * n)
    assert twice is not None
    assert not torch.equal(twice[:n], twice[n:])
    for part in (twice[:n], twice[n:]):
        assert sorted(part.tolist()) == sorted(y.tolist()), "a pass has each once"
    assert torch.equal(trained.labels(n - 3, 7), twice[n - 3 : n + 4])  # type: ignore[arg-type]
    for other, same in (
        (circle_cell(registry, network=("mlp", {"width": 8}), path="cosine"), True),
        (circle_cell(registry, seed=1), False),
    ):
        found = replace(trained, cell=other).labels(0, 50)
        assert found is not None
        assert torch.equal(found, twice[:50]) == same


def test_metrics_are_computed_of_them(registry: Registry, shop: WorkerContext, trained: Trained) -> None:
    names = ("joint_wasserstein", "wasserstein_2", "solver_error", "mmd")
    metrics = [registry.spec("metric", name) for name in names]
    cell = evaluation_cell(registry, trained.cell, nfe=20, samples=500)
    evaluate(trained, cell, metrics)
    folder = shop.store.folder("evaluation", cell.key)
    values = {each["name"]: each["values"] for each in folder.metrics().values()}
    assert set(values) == set(names)
    assert all(values.values()), folder.metrics()
    # Both are of the same samples; what the joint distance adds is that they belong to their conditions.
    assert values["joint_wasserstein"]["joint_wasserstein"] < 1.0
    assert load_file(folder.path / "samples.safetensors")["labels"].shape[1] == 2


def test_a_flow_snapshot_has_the_field_of_no_condition(shop: WorkerContext, trained: Trained) -> None:
    folder = shop.store.folder("portrait", trained.cell.key)
    take_flow_snapshot(trained, folder)
    found = load_file(folder.path / "portrait.safetensors")
    assert {"paths", "field", "log_density"} <= set(found)
    assert torch.isfinite(found["field"]).all()


def test_dropout_hides_vectors_by_the_draws_that_hide_labels(tmp_path: Path, registry: Registry) -> None:
    settings = {**TOLD, "batch_size": 1000}
    cell = circle_cell(registry, settings=settings)
    shop = context(tmp_path, registry)
    _, y = shop.data(cell.dataset, "train")
    assert y is not None
    batch = BatchSampler(cell, assemble(cell, shop), shop).batch(0)
    assert batch.y is not None
    hidden = torch.rand(1000, generator=shop.generator(cell, "label_dropout")) < 0.25
    assert torch.equal(batch.y.isnan(), hidden[:, None].expand(-1, 2)), "all of a row or nothing"
    assert torch.equal(batch.y[~hidden], y[DataOrder(cell, len(y), "cpu").of(range(1))][~hidden])
    told_nothing = circle_cell(registry, settings={**settings, "class_conditional": False})
    plain = BatchSampler(told_nothing, assemble(told_nothing, shop), shop).batch(0)
    assert plain.y is None
    assert torch.equal(plain.x_1, batch.x_1)


@pytest.mark.usefixtures("double")
def test_cells_agree_alone_and_in_a_fleet(tmp_path: Path, registry: Registry) -> None:
    cells = [circle_cell(registry, seed, {"steps": 12}, path=path) for seed in (0, 1) for path in ("linear", "cosine")]
    together, alone = (context(tmp_path / name, registry) for name in ("together", "alone"))
    train(cells, together)
    for cell in cells:
        train([cell], alone)
        files = [shop.store.folder("training", cell.key) for shop in (together, alone)]
        assert [(file.result() or {})["facts"]["fleet"] for file in files] == [4, 1]
        weights = [load_file(file.path / "weights.safetensors") for file in files]
        torch.testing.assert_close(*weights, rtol=1e-5, atol=1e-9)


def test_fleets_are_sampled_as_one_with_each_members_own_conditions(tmp_path: Path, registry: Registry) -> None:
    shop = context(tmp_path, registry)
    cells = [circle_cell(registry, seed, {"steps": 10}) for seed in (0, 1)]
    train(cells, shop)
    members = [load_trained(cell, shop) for cell in cells]
    guided = [replace(evaluation_cell(registry, cell, nfe=4), guidance=2.0) for cell in cells]
    with torch.no_grad():
        alone = [draw_samples(m, cell, m.velocity(2.0)) for m, cell in zip(members, guided, strict=True)]
    for one, other in zip(draw_batched(members, guided[0]), alone, strict=True):
        torch.testing.assert_close(one.samples, other.samples, rtol=1e-4, atol=1e-5)
        assert one.labels is not None
        assert other.labels is not None
        assert torch.equal(one.labels, other.labels)


@pytest.mark.parametrize("coupling", ["independent", ("conditional_ot", {"pool": 2})])
def test_training_from_memory_ends_in_the_same_weights(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch, coupling: Any
) -> None:
    cell, found = circle_cell(registry, settings={"steps": 20}, coupling=coupling), []

    def prefetched(cell: TrainingCell, shop: WorkerContext) -> Prefetched:
        x, y = shop.load(cell.dataset, "train")
        return Prefetched(x, y, DataOrder(cell, len(x), "cpu"), "cpu", shop.prefetch_pool)

    for name in ("resident", "prefetched"):
        shop = context(tmp_path / name, registry)
        train([cell], shop)
        found.append(shop.store.folder("training", cell.key).read("weights.safetensors"))
        monkeypatch.setattr(pairing, "data_loader", prefetched)
    assert found[0] == found[1]


def test_a_coupling_learns_from_a_teacher_given_training_conditions(
    registry: Registry, shop: WorkerContext, trained: Trained
) -> None:
    cell = replace(circle_cell(registry, coupling=("reflow", {"pairs": 300, "steps": 4})), teacher=trained.cell)
    coupling = with_teacher(assemble(cell, shop).coupling, cell, shop)
    (x_1, y), (_, other) = (shop.data(cell.dataset, split) for split in ("train", "test"))
    _, paired, conditions = coupling.pair(x_1[:200], x_1[:200], y, torch.Generator().manual_seed(0))
    assert conditions is not None
    assert y is not None
    assert other is not None
    known, held_out = ({tuple(row) for row in each.tolist()} for each in (y, other))
    given = {tuple(row) for row in conditions.tolist()}
    assert given <= known
    assert not given & held_out
    assert (paired - RADIUS * conditions).square().mean().sqrt() < 1.6 * DEVIATION


class OfLabels(Network):
    """Says that it takes vectors, and is built as one that does not."""

    takes = ("labels", "vectors")

    def build(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        return nn.Identity()


def test_a_network_that_says_more_than_its_build_takes_is_named() -> None:
    assert isinstance(build_network(OfLabels(), (2,), 3, 0), nn.Identity)
    with pytest.raises(UserError, match=r'OfLabels says that it takes "vectors", .* condition_width=0'):
        build_network(OfLabels(), (2,), 0, 3)
