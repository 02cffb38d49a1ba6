"""T-distributions against scipy's, in float64 and as training draws them in float32."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from fmbench_t_distributions.beta import Beta
from fmbench_t_distributions.logit_normal import LogitNormal
from fmbench_t_distributions.u_shaped import UShaped
from fmbench_t_distributions.uniform import Uniform

LEVELS = torch.tensor([1e-12, 1e-6, 1e-3, 0.1, 0.37, 0.5, 0.8, 0.999, 1 - 1e-6, 1 - 1e-12], dtype=torch.float64)
BETAS = [(0.5, 0.5), (1.0, 1.0), (1.0, 0.3), (1.5, 1.0), (0.6, 0.6), (0.2, 3.0), (2.5, 7.0), (50.0, 200.0), (0.1, 0.1)]


def u_shaped_cdf(t, a=4.0):
    return 0.5 + np.sinh(a * (t - 0.5)) / (2 * math.sinh(a / 2))


DISTRIBUTIONS = {
    "uniform": (Uniform(), stats.uniform.cdf),
    "beta(0.5,0.5)": (Beta(), stats.arcsine.cdf),
    "beta(0.6,2)": (Beta(alpha=0.6, beta=2.0), stats.beta(0.6, 2.0).cdf),
    "beta(1.5,1)": (Beta(alpha=1.5, beta=1.0), stats.beta(1.5, 1.0).cdf),
    "u_shaped(4)": (UShaped(), u_shaped_cdf),
    "logit_normal": (
        LogitNormal(mean=0.4, std=1.3),
        lambda t: stats.norm(0.4, 1.3).cdf(np.log(t) - np.log1p(-t)),
    ),
}


@pytest.mark.parametrize(("alpha", "beta"), BETAS)
def test_beta_quantiles_are_scipys(alpha, beta):
    quantiles = Beta(alpha=alpha, beta=beta).quantile(LEVELS).numpy()
    np.testing.assert_allclose(quantiles, stats.beta(alpha, beta).ppf(LEVELS.numpy()), rtol=1e-10, atol=1e-300)


@pytest.mark.parametrize(("alpha", "beta"), BETAS)
def test_beta_density_is_scipys(alpha, beta):
    t = torch.tensor([1e-9, 1e-4, 0.01, 0.2, 0.5, 0.77, 0.99, 1 - 1e-6], dtype=torch.float64)
    expected = stats.beta(alpha, beta).pdf(t.numpy())
    np.testing.assert_allclose(Beta(alpha=alpha, beta=beta).density(t).numpy(), expected, rtol=1e-8, atol=1e-300)


@pytest.mark.parametrize(("alpha", "beta"), [(0.5, 0.5), (1.0, 0.3), (1.5, 1.0)])
def test_closed_forms_continue_the_general_form(alpha, beta):
    """The closed form and scipy's inversion, at parameters a hair apart, agree."""
    near = Beta(alpha=alpha * (1 + 1e-9), beta=beta * (1 + 1e-9)).quantile(LEVELS[1:-1])
    exact = Beta(alpha=alpha, beta=beta).quantile(LEVELS[1:-1])
    torch.testing.assert_close(exact, near, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_draws_pass_kolmogorov_smirnov(name):
    distribution, cdf = DISTRIBUTIONS[name]
    u = torch.rand(100_000, generator=torch.Generator().manual_seed(3))
    draws = distribution.quantile(u).double().numpy().clip(1e-300, 1 - 1e-16)
    assert stats.kstest(draws, cdf).pvalue > 1e-3


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_stratified_draws_fill_every_stratum(name):
    distribution, cdf = DISTRIBUTIONS[name]
    n = 100_000
    u = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    np.testing.assert_allclose(cdf(distribution.quantile(u).numpy()), u.numpy(), atol=1e-9)


@pytest.mark.parametrize("distribution", [Uniform(), Beta(), Beta(alpha=0.7, beta=0.7), UShaped(), LogitNormal()])
def test_symmetric_distributions(distribution):
    u = torch.linspace(0.001, 0.5, 500, dtype=torch.float64)
    torch.testing.assert_close(distribution.quantile(u), 1 - distribution.quantile(1 - u), rtol=0, atol=1e-12)
    torch.testing.assert_close(distribution.density(u), distribution.density(1 - u), rtol=1e-10, atol=0)


def test_the_u_shape_is_a_u():
    t = torch.linspace(0, 1, 101, dtype=torch.float64)
    density = UShaped(a=4.0).density(t)
    assert density.argmin() == 50
    assert (density[:51].diff() < 0).all()
    assert (density[50:].diff() > 0).all()
    ratio = density[0] / density[50]
    assert math.isclose(ratio, math.cosh(2), rel_tol=1e-12)


def test_u_shape_becomes_uniform():
    u = torch.linspace(0.01, 0.99, 50, dtype=torch.float64)
    torch.testing.assert_close(UShaped(a=1e-4).quantile(u), u, rtol=0, atol=1e-9)


def test_logit_normal_in_noise_time_is_mirrored():
    """Stable Diffusion 3 counts from the data: its location m is -mean."""
    u = torch.linspace(0.01, 0.99, 50, dtype=torch.float64)
    mirrored = 1 - LogitNormal(mean=-0.7).quantile(1 - u)
    torch.testing.assert_close(LogitNormal(mean=0.7).quantile(u), mirrored)


def test_logit_normal_density_vanishes_at_the_ends():
    assert LogitNormal().density(torch.tensor([0.0, 1.0, 1e-30])).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_zero_and_one_have_quantiles_too(dtype):
    """`torch.rand` may return 0."""
    for distribution, _ in DISTRIBUTIONS.values():
        assert distribution.quantile(torch.tensor([0.0, 1.0], dtype=dtype)).tolist() == [0.0, 1.0]
