"""The oracle: what a mixture of Gaussians knows of its flow along an affine path, and the loss that is left."""

from __future__ import annotations

import pytest
import torch
from helpers import built_ins
from torch import Tensor

from fmbench import AffinePath, Mixture

REGISTRY = built_ins()
PATHS = {
    "linear": {},
    "cosine": {},
    "lipman": {"sigma_min": 0.1},
    "polynomial": {"n": 2.0},
    "vp": {"clip": 1e-2},
    "linear_vp": {"clip": 1e-2},
}
PLANE = Mixture(
    torch.tensor([0.3, 0.5, 0.2]).double(),
    torch.tensor([[-2.0, -1.0], [1.0, 3.0], [0.5, -1.0]]).double(),
    torch.tensor([[[0.5, 0.1], [0.1, 0.4]], [[0.6, -0.2], [-0.2, 0.5]], [[0.4, 0.0], [0.0, 0.6]]]).double(),
)
LINE = Mixture(
    torch.tensor([0.3, 0.7]).double(), torch.tensor([[-1.0], [1.5]]).double(), torch.tensor([[[0.1]], [[0.5]]]).double()
)


def path(name: str) -> AffinePath:
    built = REGISTRY.build(REGISTRY.spec("path", name, PATHS[name]))
    assert isinstance(built, AffinePath)
    return built


def points(n: int = 40, dtype: torch.dtype = torch.float64) -> Tensor:
    return 2 * torch.randn(n, 2, generator=torch.Generator().manual_seed(0), dtype=dtype)


@pytest.mark.parametrize("name", PATHS)
def test_the_velocity_carries_the_marginals(name: str) -> None:
    """The equation of continuity, d/dt log p_t + u . grad log p_t + div u = 0, by autograd through the path."""
    x, t = points().requires_grad_(), torch.linspace(0.05, 0.95, 40).double().requires_grad_()
    alpha_t, sigma_t, *_ = path(name).coefficients(t)
    log_density = PLANE.posterior(x, alpha_t, sigma_t).log_density
    by_x, by_t = torch.autograd.grad(log_density.sum(), (x, t))
    u = PLANE.velocity(x, t, path(name).coefficients)
    divergence = sum(torch.autograd.grad(u[:, i].sum(), x, retain_graph=True)[0][:, i] for i in range(2))
    torch.testing.assert_close(by_t + (u * by_x).sum(1) + divergence, torch.zeros_like(t), rtol=0, atol=1e-9)


def test_both_ends_of_the_posterior_add_up_and_follow_the_score() -> None:
    x, t = points().requires_grad_(), torch.linspace(0.05, 0.95, 40).double()
    alpha_t, sigma_t, *_ = path("cosine").coefficients(t)
    posterior = PLANE.posterior(x, alpha_t, sigma_t)
    together = alpha_t[:, None] * posterior.mean_x_1 + sigma_t[:, None] * posterior.mean_x_0
    torch.testing.assert_close(together, x)
    (score,) = torch.autograd.grad(posterior.log_density.sum(), x)
    torch.testing.assert_close(score, -posterior.mean_x_0 / sigma_t[:, None])
    torch.testing.assert_close(posterior.responsibilities.sum(0), torch.ones(40).double())


def test_pure_noise_says_nothing_of_the_data_and_pure_data_all() -> None:
    x = points()
    none, one = torch.zeros(40).double(), torch.ones(40).double()
    at_noise, at_data = PLANE.posterior(x, none, one), PLANE.posterior(x, one, none)
    torch.testing.assert_close(at_noise.responsibilities, PLANE.weights[:, None].expand(3, 40))
    torch.testing.assert_close(at_noise.mean_x_1, PLANE.mean.expand(40, 2))
    torch.testing.assert_close(at_noise.mean_x_0, x)
    torch.testing.assert_close(at_data.mean_x_1, x)
    assert not at_data.mean_x_0.any()
    torch.testing.assert_close(at_data.log_density, PLANE.log_density(x))


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_velocity_is_finite_to_the_ends_and_keeps_its_dtype(name: str, dtype: torch.dtype) -> None:
    x, t = points(5, dtype), torch.tensor([0.0, 1e-6, 0.5, 1 - 1e-6, 1.0], dtype=dtype)
    u = PLANE.velocity(x, t, path(name).coefficients)
    assert u.dtype == dtype
    assert torch.isfinite(u).all()
    exact = PLANE.velocity(x.double(), t.double(), path(name).coefficients)
    torch.testing.assert_close(u.double(), exact, rtol=1e-4, atol=1e-4)


def test_rows_do_not_influence_each_other() -> None:
    x, t = points(), torch.linspace(0, 1, 40).double()
    together = PLANE.velocity(x, t, path("linear").coefficients)
    alone = [PLANE.velocity(x[i : i + 1], t[i : i + 1], path("linear").coefficients) for i in range(40)]
    torch.testing.assert_close(together, torch.cat(alone))


def test_mean_and_covariance_are_those_of_the_draws() -> None:
    draws = PLANE.sample(200_000, torch.Generator().manual_seed(0))
    torch.testing.assert_close(draws.mean(0), PLANE.mean, rtol=0, atol=0.02)
    torch.testing.assert_close(draws.T.cov(), PLANE.covariance, rtol=0, atol=0.04)


def loss_by_moments(t: Tensor, name: str) -> Tensor:
    """Return E|dx_t|^2 - E|u_t(x_t)|^2 of LINE at `t`, the second by trapezoids over x."""
    coefficients = path(name).coefficients
    alpha_t, sigma_t, d_alpha_t, d_sigma_t = coefficients(t)
    second_moment = d_alpha_t**2 * (LINE.covariance + LINE.mean**2).item() + d_sigma_t**2
    x = torch.linspace(-7, 7, 301).double()
    every_x, every_t = x.repeat(len(t))[:, None], t.repeat_interleave(len(x))
    density = LINE.posterior(every_x, *(c.repeat_interleave(len(x)) for c in (alpha_t, sigma_t))).log_density.exp()
    u = LINE.velocity(every_x, every_t, coefficients)[:, 0]
    return second_moment - torch.trapezoid((density * u.square()).reshape(len(t), len(x)), x)


@pytest.mark.parametrize("name", PATHS)
def test_the_irreducible_loss_agrees_with_a_second_way(name: str) -> None:
    coefficients = path(name).coefficients
    t = torch.linspace(0, 1, 21).double()
    torch.testing.assert_close(LINE.irreducible_loss_at(t, coefficients), loss_by_moments(t, name), rtol=0, atol=1e-6)
    u = torch.linspace(0, 1, 801).double()
    for low, high in ((0.0, 1.0), (0.5, 0.8)):
        t = low + (high - low) * u.square() * (3 - 2 * u)  # dense at the ends, where a path may be steep
        expected = torch.trapezoid(loss_by_moments(t, name), t).item() / (high - low)
        assert LINE.irreducible_loss(coefficients, low, high) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("name", PATHS)
def test_the_loss_of_the_exact_velocity_is_the_irreducible_one(name: str) -> None:
    """No loss is in excess of it: the mean of |dx_t - u_t(x_t)|^2 over draws, within four standard errors."""
    n, generator = 50_000, torch.Generator().manual_seed(0)
    x_1 = PLANE.sample(n, generator)
    x_0, t = torch.randn(n, 2, generator=generator).double(), (torch.arange(n).double() + 0.5) / n
    sample = path(name).sample(x_0, x_1, t, generator)
    squares = (sample.dx_t - PLANE.velocity(sample.x_t, t, path(name).coefficients)).square().mean(1)
    error = 4 * float(squares.std()) / n**0.5
    assert PLANE.irreducible_loss(path(name).coefficients) == pytest.approx(float(squares.mean()), abs=error)


def test_one_gaussian_has_an_irreducible_loss_in_any_dimension() -> None:
    dim = 10
    gaussian = Mixture(torch.ones(1).double(), torch.zeros(1, dim).double(), 0.25 * torch.eye(dim).double()[None])
    in_ten = gaussian.irreducible_loss(path("linear").coefficients)
    line = Mixture(torch.ones(1).double(), torch.ones(1, 1).double(), torch.full((1, 1, 1), 0.25).double())
    assert in_ten == pytest.approx(line.irreducible_loss(path("linear").coefficients), rel=1e-12)


def test_many_gaussians_in_many_dimensions_are_refused() -> None:
    two = Mixture(
        torch.tensor([0.5, 0.5]).double(), torch.randn(2, 4).double(), torch.eye(4).double().expand(2, 4, 4).clone()
    )
    with pytest.raises(ValueError, match=r"up to 3 dimensions; found 2 Gaussians in 4\."):
        two.irreducible_loss(path("linear").coefficients)
