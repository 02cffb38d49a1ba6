"""What members of a fleet learn from: several steps sampled at once are the steps one by one."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
import torch
from helpers import context, training_cell

from fmbench.components.contracts import Network, PathSample
from fmbench.errors import CellFailure
from fmbench.plugins.registry import Registry
from fmbench.training import path_batches
from fmbench.training.loop import begin, train
from fmbench.training.path_batches import PathBatchSampler

STEPS = 2 * path_batches.AHEAD + 3


def sampler(tmp_path: Path, registry: Registry, batch: int = 50) -> PathBatchSampler:
    """Return the samples of two seeds of paths with and without noise of their own, and of a pooled coupling."""
    settings = {"steps": STEPS, "batch_size": batch}
    variants = [
        {},
        {"path": "cosine", "t_distribution": "u_shaped"},
        {"path": "icfm"},
        {"coupling": ("minibatch_ot", {"pool": 2})},
    ]
    cells = [training_cell(registry, seed, settings, **v) for v in variants for seed in (0, 1)]  # type: ignore[arg-type]
    return begin(cells, context(tmp_path, registry)).path_batches


def values(drawn: PathBatchSampler, step: int) -> dict[str, torch.Tensor]:
    """Return the fields of a step's samples."""
    joint_batches = [joint_batch.sample for joint_batch in drawn.draw(step)]
    return {
        f"{field.name} of {number}": value
        for number, sample in enumerate(joint_batches)
        for field in fields(PathSample)
        if (value := getattr(sample, field.name)) is not None
    }


def test_steps_sampled_at_once_are_the_steps_one_by_one(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = sampler(tmp_path, registry)
    several = [values(ahead, step) for step in range(STEPS)]
    monkeypatch.setattr(path_batches, "AHEAD", 1)
    one_by_one = sampler(tmp_path, registry)
    for step, expected in enumerate(several):
        torch.testing.assert_close(values(one_by_one, step), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "stopped", [0, 1, path_batches.AHEAD - 1, path_batches.AHEAD, path_batches.AHEAD + 3, STEPS - 1]
)
def test_samples_go_on_where_they_were_stopped(tmp_path: Path, registry: Registry, stopped: int) -> None:
    first = sampler(tmp_path, registry)
    for step in range(stopped):
        first.draw(step)
    again = sampler(tmp_path, registry)
    for member in range(8):
        again.load(member, first.dump(member))
    for step in range(stopped, STEPS):
        torch.testing.assert_close(values(again, step), values(first, step), rtol=0, atol=0)


def test_large_examples_are_sampled_step_by_step(registry: Registry, tmp_path: Path) -> None:
    shop = context(tmp_path, registry)
    small, large = (begin([training_cell(registry, settings={"batch_size": n})], shop) for n in (64, 4096))
    assert path_batches.steps_ahead(small.cells[0], small.components[0]) > 1
    assert path_batches.steps_ahead(large.cells[0], large.components[0]) == 1


class Hasty:
    """Stands for a component, and does its work in place."""

    def __init__(self, original: object) -> None:
        self.original = original

    def __getattr__(self, name: str) -> object:
        return getattr(self.original, name)

    def quantile(self, u: torch.Tensor) -> torch.Tensor:
        return u.square_()

    def sample(self, x_0: torch.Tensor, x_1: torch.Tensor, t: torch.Tensor, generator: torch.Generator) -> PathSample:
        dx_t = x_1 - x_0
        return PathSample(x_0, x_1, t, x_0.add_(t[:, None] * dx_t), dx_t)

    def loss(self, output: torch.Tensor, sample: PathSample) -> torch.Tensor:
        return (output - sample.dx_t.mul_(2)).square().mean(1)


@pytest.mark.parametrize("kind", ["path", "t_distribution", "objective"])
@pytest.mark.parametrize("seeds", [1, 3])
def test_what_changes_in_place_what_others_are_given_fails(
    tmp_path: Path, registry: Registry, kind: str, seeds: int
) -> None:
    shop = context(tmp_path, registry)
    cells = [training_cell(registry, seed, {"steps": 4}) for seed in range(seeds)]
    spec = getattr(cells[0], kind)
    shop._built[spec.digest] = Hasty(shop.build(spec))
    with pytest.raises(CellFailure, match="Hasty changes a tensor in place"):
        train(cells, shop)


class Narrow(torch.nn.Module):
    """Returns one number where its x has two."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(2, 1)

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.linear(x)
        return found


class MakesNarrow(Network):
    """Stands for a network."""

    def build(self, shape: tuple[int, ...], classes: int) -> torch.nn.Module:
        return Narrow()


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("objective", ["velocity", "x1_prediction"])
def test_a_network_of_another_shape_than_its_x_fails(
    tmp_path: Path, registry: Registry, seeds: int, objective: str
) -> None:
    shop = context(tmp_path, registry)
    cells = [training_cell(registry, seed, {"steps": 4}, objective=objective) for seed in range(seeds)]
    shop._built[cells[0].network.digest] = MakesNarrow()
    with pytest.raises(CellFailure, match=r"the shape of its x, \(\d+, 2\); it returns \(\d+, 1\)"):
        train(cells, shop)
