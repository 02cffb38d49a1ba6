"""The two published scales of the pseudo-Huber loss's c."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from lpips_weights import write_weights
from torch import Tensor

from fmbench import PathSample
from fmbench_objectives.lpips_huber import LPIPSHuber
from fmbench_objectives.pseudo_huber import PseudoHuber

SHAPE = (3, 16, 16)
DIMENSIONS = 3 * 16 * 16


def published(error: Tensor, c: float) -> Tensor:
    """Song and Dhariwal 2024, eq. 7: sqrt(|error|^2 + c^2) - c, an example."""
    return torch.stack([torch.sqrt((e * e).sum() + c**2) - c for e in error])


def made(size: float) -> tuple[Tensor, Tensor, PathSample]:
    """An error of this size, root mean square, and an output that has it, at t=1 where lpips_huber is Huber's alone."""
    x_0, x_1, direction = torch.randn(3, 4, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    error = size * direction / direction.flatten(1).square().mean(1).sqrt()[:, None, None, None]
    return error, x_1 - x_0 + error, PathSample(x_0, x_1, torch.ones(4, dtype=torch.float64), x_1, x_1 - x_0)


@pytest.mark.parametrize("size", [1e-3, 0.03, 1.0])
def test_the_default_is_the_papers_c_with_the_root_of_the_dimension(size: float) -> None:
    error, output, sample = made(size)
    expected = published(error, 0.00054 * math.sqrt(DIMENSIONS)) / math.sqrt(DIMENSIONS)
    torch.testing.assert_close(PseudoHuber().loss(output, sample), expected, rtol=1e-9, atol=0)
    assert torch.equal(PseudoHuber(scale="sqrt_d").loss(output, sample), PseudoHuber().loss(output, sample))


@pytest.mark.parametrize("size", [1e-3, 0.03, 1.0])
def test_the_other_is_the_authors_code_with_the_dimension(size: float) -> None:
    error, output, sample = made(size)
    expected = published(error, 0.00054 * DIMENSIONS) / DIMENSIONS
    torch.testing.assert_close(PseudoHuber(scale="d").loss(output, sample), expected, rtol=1e-7, atol=0)


def test_where_the_loss_turns_from_quadratic_to_linear() -> None:
    """At root mean square errors of c, or c sqrt(d): below twice the error costs four times as much, above twice."""
    for scale, turn in (("sqrt_d", 0.00054), ("d", 0.00054 * math.sqrt(DIMENSIONS))):
        objective = PseudoHuber(scale=scale)  # type: ignore[arg-type]
        ratios = []
        for size in (turn / 100, turn, 100 * turn):
            single, double = (objective.loss(*made(factor * size)[1:]) for factor in (1, 2))
            ratios.append(float((double / single).mean()))
        assert ratios == pytest.approx([4, (math.sqrt(5) - 1) / (math.sqrt(2) - 1), 2], rel=1e-2)


@pytest.mark.parametrize(("parameters", "scale"), [({}, "d"), ({"scale": "d"}, "d"), ({"scale": "sqrt_d"}, "sqrt_d")])
def test_lpips_huber_is_the_authors_code_unless_it_is_told(
    parameters: dict[str, Any], scale: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """At t=1 the picture that is predicted is the data's whatever the error, so that LPIPS is 0."""
    files = write_weights(tmp_path_factory.mktemp("lpips"))
    _, output, sample = made(0.05)
    found = LPIPSHuber(**files, size=16, **parameters).loss(output, sample)
    torch.testing.assert_close(found, PseudoHuber(scale=scale).loss(output, sample), rtol=1e-6, atol=0)  # type: ignore[arg-type]
