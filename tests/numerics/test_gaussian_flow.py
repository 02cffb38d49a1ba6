"""The flow between Gaussians, known in closed form: x_0 ~ N(0, 1) to x_1 ~ N(m, s^2), on any affine path.

The marginal at t is N(alpha m, alpha^2 s^2 + sigma^2), so the flow maps x_0 to mean_t + std_t x_0, and the velocity is
its time derivative written in x.
"""

import math

import pytest
import torch

from fmbench.testing.dummy_components import CountedField
from fmbench_paths.cosine import Cosine
from fmbench_paths.linear import Linear
from fmbench_paths.lipman import Lipman
from fmbench_solvers.ab2 import AB2
from fmbench_solvers.euler import Euler
from fmbench_solvers.heun import Heun
from fmbench_solvers.midpoint import Midpoint
from fmbench_solvers.rk4 import RK4
from fmbench_solvers.torchdiffeq_adaptive import Dopri5
from fmbench_solvers.torchdiffeq_fixed import TorchdiffeqHeun3, TorchdiffeqRK4

M, S = 3.0, 1.5
PATHS = {"linear": Linear(), "cosine": Cosine(), "lipman": Lipman(sigma_min=0.1)}
SOLVERS = [Euler, Midpoint, Heun, RK4, AB2, TorchdiffeqHeun3, TorchdiffeqRK4]


def gaussian_velocity(path):
    def velocity(x, t):
        alpha, sigma, d_alpha, d_sigma = (c[:, None] for c in path.coefficients(t))
        variance = alpha**2 * S**2 + sigma**2
        growth = (alpha * d_alpha * S**2 + sigma * d_sigma) / variance
        return d_alpha * M + growth * (x - alpha * M)

    return CountedField(velocity, path)


def flow_map(path, x_0):
    """Return where the exact flow takes x_0 at t=1."""
    alpha, sigma, *_ = path.coefficients(torch.ones(1, dtype=torch.float64))
    return alpha * M + (alpha**2 * S**2 + sigma**2).sqrt() * x_0


def source(n=400):
    """Return the standard normal's quantiles, standardised: mean 0 and standard deviation 1 to rounding."""
    x_0 = torch.special.ndtri((torch.arange(n, dtype=torch.float64) + 0.5) / n)[:, None]
    return (x_0 - x_0.mean()) / x_0.std(correction=0)


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("solver", SOLVERS)
def test_mean_and_std_converge_at_the_solvers_order(solver, name):
    path, x_0 = PATHS[name], source()
    exact = flow_map(path, x_0)
    errors = []
    for steps in (64, 128):
        times = torch.arange(steps + 1, dtype=torch.float64) / steps
        x_1 = solver().integrate(gaussian_velocity(path), x_0, times)
        moments = [(x_1 - exact).mean().abs(), (x_1.std(correction=0) - exact.std(correction=0)).abs()]
        errors.append(max(m.item() for m in moments))
    assert math.log2(errors[0] / errors[1]) > solver.order - 0.1, errors


@pytest.mark.parametrize("name", PATHS)
def test_tight_dopri5_finds_the_flow_map(name):
    path, x_0 = PATHS[name], source()
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
    x_1 = Dopri5(rtol=1e-9, atol=1e-9).integrate(gaussian_velocity(path), x_0, ends)
    torch.testing.assert_close(x_1, flow_map(path, x_0), rtol=0, atol=1e-7)


@pytest.mark.parametrize("name", PATHS)
def test_the_closed_form_is_the_mean_of_conditional_velocities(name):
    """E[dx_t | x_t], estimated by regression of dx_t on x_t, which is linear for Gaussians."""
    path, n = PATHS[name], 400_000
    generator = torch.Generator().manual_seed(0)
    x_0, noise = torch.randn(2, n, 1, generator=generator, dtype=torch.float64)
    for time in (0.2, 0.7):
        sample = path.sample(x_0, M + S * noise, torch.full((n,), time).double(), generator)
        design = torch.cat([torch.ones_like(sample.x_t), sample.x_t], dim=1)
        intercept, slope = torch.linalg.lstsq(design, sample.dx_t).solution[:, 0].tolist()
        points = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
        at_zero, at_one = gaussian_velocity(path)(points, torch.full((2,), time).double())[:, 0].tolist()
        assert intercept == pytest.approx(at_zero, abs=0.03)
        assert slope == pytest.approx(at_one - at_zero, abs=0.03)


def test_euler_in_one_step_collapses_the_linear_path_to_the_mean():
    """At t=0 the best prediction of the data is its mean."""
    x_1 = Euler().integrate(gaussian_velocity(Linear()), source(), torch.tensor([0.0, 1.0]).double())
    torch.testing.assert_close(x_1, torch.full_like(x_1, M), rtol=0, atol=1e-12)
