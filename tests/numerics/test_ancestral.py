"""Ancestral sampling: DDIM without noise, a Markov chain's posterior with it, and the data's moments in the end."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from helpers import built_ins
from torch import Generator, Tensor

from fmbench import AffinePath
from fmbench.testing.dummy_components import CountedField
from fmbench.testing.ode_problems import uniform_times

REGISTRY = built_ins()
MEAN, STD = 1.5, 0.4
PATHS = ["linear", "cosine", "lipman", "linear_vp", "vp"]
TIMES = torch.tensor([0.0, 0.15, 0.4, 0.5, 0.85, 1.0], dtype=torch.float64)


def path_of(name: str) -> AffinePath:
    return REGISTRY.build(REGISTRY.spec("path", name, {"sigma_min": 0.1} if name == "lipman" else {}))


def sample(solver: str, velocity: CountedField, x_0: Tensor, times: Tensor, **parameters: float) -> Tensor:
    return REGISTRY.build(REGISTRY.spec("solver", solver, parameters)).integrate(velocity, x_0, times)


def normal(n: int, seed: int = 1) -> Tensor:
    return torch.randn((n, 1), generator=Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("path", PATHS)
def test_without_noise_it_is_ddim_to_the_bit_and_draws_nothing(path: str) -> None:
    def field() -> CountedField:
        return CountedField(lambda x, t: torch.sin(3 * x + t[:, None]), path_of(path))

    velocity = field()
    before = velocity.generator.get_state()
    found = sample("ancestral", velocity, normal(20), TIMES, eta=0.0)
    assert torch.equal(found, sample("ddim", field(), normal(20), TIMES))
    assert torch.equal(velocity.generator.get_state(), before)


@pytest.mark.parametrize("path", PATHS)
def test_its_last_step_is_ddims(path: str) -> None:
    ends = TIMES[[0, -1]]
    found, expected = (
        sample(solver, CountedField(lambda x, t: torch.sin(3 * x), path_of(path)), normal(20), ends)
        for solver in ("ancestral", "ddim")
    )
    assert torch.equal(found, expected)


def noises_of(path: AffinePath, eta: float) -> tuple[list[Tensor], list[float]]:
    """Return the noise in each state, where x_1 is known, and alpha/sigma there."""
    noises, ratios = [], []

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        alpha, sigma, d_alpha, d_sigma = (c[:, None] for c in path.coefficients(t))
        x_0 = (x - alpha * MEAN) / sigma
        noises.append(x_0[:, 0])
        ratios.append((alpha / sigma)[0].item())
        return d_alpha * MEAN + d_sigma * x_0

    start = path.coefficients(TIMES[:1])
    x_0 = start[0] * MEAN + start[1] * normal(40_000)
    sample("ancestral", CountedField(velocity, path), x_0, TIMES, eta=eta)
    return noises, ratios


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("path", PATHS)
def test_with_the_data_known_every_state_is_a_draw_of_the_path(path: str, eta: float) -> None:
    noises, _ = noises_of(path_of(path), eta)
    assert len(noises) == len(TIMES) - 1
    for noise in noises:
        assert noise.mean().item() == pytest.approx(0, abs=0.02)
        assert noise.std().item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("path", PATHS)
def test_with_the_data_known_the_states_are_the_forward_chain_of_diffusion(path: str) -> None:
    """x_t is alpha_t/alpha_t' x_t' and noise of which the later state x_t' knows nothing."""
    noises, ratios = noises_of(path_of(path), 1.0)
    for (noise, later), (ratio, ratio_later) in zip(pairwise(noises), pairwise(ratios), strict=True):
        added = noise - ratio / ratio_later * later
        assert (added * later).mean().item() == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("eta", [0.5, 1.0])
@pytest.mark.parametrize("path", ["linear", "cosine", "vp"])
def test_moments_converge_to_the_datas(path: str, eta: float) -> None:
    """From the exact velocity between Gaussians; a step's single prediction of the data leaves some spread out."""
    affine, x_0 = path_of(path), normal(10_000)
    x_0 = (x_0 - x_0.mean()) / x_0.std(correction=0)

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        alpha, sigma, d_alpha, d_sigma = (c[:, None] for c in affine.coefficients(t))
        standard = (x - alpha * MEAN) / (alpha**2 * STD**2 + sigma**2)
        return d_alpha * (MEAN + alpha * STD**2 * standard) + d_sigma * sigma * standard

    missing = []
    for steps in (10, 40, 160):
        x_1 = sample("ancestral", CountedField(velocity, affine), x_0, uniform_times(steps), eta=eta)
        assert x_1.mean().item() == pytest.approx(MEAN, abs=0.02)
        missing.append(STD - x_1.std().item())
    assert missing[0] > missing[1] > missing[2]
    assert abs(missing[2]) < missing[0] / 5
    assert abs(missing[2]) < 0.03
