"""Training times spread evenly over a batch: one in each part, each by itself uniform, and a steadier gradient."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers import context, training_cell
from scipy.stats import kstest
from torch import Generator, Tensor

from fmbench.model.build import assemble, make_module
from fmbench.plan.build import training_settings
from fmbench.plugins.registry import Registry
from fmbench.suite import Training
from fmbench.training.batch_sampler import BatchSampler, independent, stratified
from fmbench.training.gradient_accumulation import divided
from fmbench.training.loop import begin
from fmbench.training.path_batches import PathBatchSampler

STRATIFIED = {"stratified_t": True}


@pytest.mark.parametrize("n", [1, 2, 7, 128, 1000])
def test_one_time_lies_in_each_part(n: int) -> None:
    for seed in range(5):
        u = stratified(n, Generator().manual_seed(seed))
        assert u.dtype == torch.float32
        assert sorted((u.double() * n).floor().int().tolist()) == list(range(n))


@pytest.mark.parametrize("drawn", [0.0, 1 - 2.0**-24])
@pytest.mark.parametrize("n", [1, 7, 1000, 4096])
def test_rounding_leaves_each_in_its_part(monkeypatch: pytest.MonkeyPatch, drawn: float, n: int) -> None:
    monkeypatch.setattr(torch, "rand", lambda n, **_: torch.full((n,), drawn))
    u = stratified(n, Generator().manual_seed(0))
    assert sorted((u.double() * n).floor().int().tolist()) == list(range(n))
    assert float(u.min()) > 0
    assert float(u.max()) < 1


def test_each_by_itself_is_uniform_and_in_random_order() -> None:
    generator = Generator().manual_seed(0)
    drawn = torch.stack([stratified(8, generator) for _ in range(4000)])
    for place in range(8):
        assert kstest(drawn[:, place].numpy(), "uniform").pvalue > 1e-3
    # the order is random: two of a batch are hardly correlated (-1/(n - 1) where each part has one)
    correlations = torch.corrcoef(drawn.T) - torch.eye(8)
    assert float(correlations.abs().max()) < 1 / 7 + 0.05


def gradient_variance(tmp_path: Path, registry: Registry, settings: dict[str, object], batches: int = 200) -> float:
    """Return the variance of the gradient over batches, added up over the parameters of a new network."""
    cell = training_cell(registry, settings={"batch_size": 64, **settings})
    shop = context(tmp_path, registry)
    parts = assemble(cell, shop)
    module, samples = make_module(cell, parts, "cpu"), PathBatchSampler([cell], [parts], shop)
    parameters = list(module.parameters())
    gradients = []
    for step in range(batches):
        sample = samples.draw(step)[0].sample
        loss = parts.objective.loss(module(sample.x_t, sample.t), sample).mean()
        gradients.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)]))
    return float(torch.stack(gradients).var(0).sum())


def test_the_gradient_varies_less(tmp_path: Path, registry: Registry) -> None:
    plain, even = (gradient_variance(tmp_path, registry, settings) for settings in ({}, STRATIFIED))
    assert even < 0.9 * plain


def test_cells_of_a_seed_see_the_same_times_and_data(tmp_path: Path, registry: Registry) -> None:
    shop = context(tmp_path, registry)
    variants = [{}, {"path": "cosine"}, {"coupling": ("minibatch_ot", {"pool": 2})}]
    drawn = []
    for names in variants:
        cell = training_cell(registry, settings=STRATIFIED, **names)
        sampler = BatchSampler(cell, assemble(cell, shop), shop)
        drawn.append([sampler.batch(step) for step in range(4)])
    plain = training_cell(registry)
    unstratified = BatchSampler(plain, assemble(plain, shop), shop)
    for step in range(4):
        assert all(torch.equal(drawn[0][step].u, other[step].u) for other in drawn[1:])
        assert torch.equal(drawn[0][step].x_1, unstratified.batch(step).x_1)


@pytest.mark.parametrize("parts", [1, 4])
def test_members_of_a_fleet_and_parts_of_a_batch_have_them_too(tmp_path: Path, registry: Registry, parts: int) -> None:
    settings = {**STRATIFIED, "batch_size": 32, **({"accumulate": parts} if parts > 1 else {})}
    cells = [training_cell(registry, seed, settings, path=path) for seed in (0, 1) for path in ("linear", "cosine")]
    state = begin(cells, context(tmp_path, registry))
    for step in range(10):
        pieces: list[Tensor] = []
        for part in divided(state.path_batches.draw(step), parts):
            (joint,) = part
            pieces.append(joint.sample.t.view(4, -1))
        t = torch.cat(pieces, 1)
        assert [sorted((own.double() * 32).floor().int().tolist()) for own in t] == [list(range(32))] * 4


def test_only_a_suite_that_asks_for_it_has_it_in_its_keys() -> None:
    said = {"paths": ["linear"], "networks": ["mlp"], "steps": 10}
    assert "stratified_t" not in training_settings(Training.model_validate(said))
    assert training_settings(Training.model_validate({**said, **STRATIFIED}))["stratified_t"] is True


def test_independent_times_are_as_before() -> None:
    u = independent(1000, Generator().manual_seed(3))
    assert torch.equal(u, torch.rand(1000, generator=Generator().manual_seed(3)).clamp_(min=2.0**-25))
