"""The exact velocity of Gaussian data in place of a network: likelihoods and moments against their closed forms."""

from __future__ import annotations

import pytest
import torch
from helpers import built_ins
from torch import Tensor

from fmbench import AffinePath, Mixture
from fmbench.testing.dummy_components import CountedField
from fmbench_datasets.gaussian_mixture import GaussianMixture
from fmbench_metrics.divergence import exact_divergence, hutchinson, signs
from fmbench_metrics.nll import log_likelihood
from fmbench_solvers.dpmpp_2m import DPMpp2M
from fmbench_solvers.euler import Euler
from fmbench_solvers.torchdiffeq_adaptive import Dopri5

REGISTRY = built_ins()
PATHS = ["linear", "cosine", "linear_vp"]
ENDS = torch.tensor([0.0, 1.0], dtype=torch.float64)
GAUSSIAN = Mixture(
    torch.ones(1).double(), torch.tensor([[2.0, 2.0]]).double(), torch.tensor([[[1.0, 0.6], [0.6, 0.8]]]).double()
)
"""One correlated Gaussian at (2, 2)."""

THREE = GaussianMixture().mixture()
LINE = Mixture(
    torch.tensor([0.4, 0.6]).double(), torch.tensor([[-1.0], [1.5]]).double(), torch.tensor([[[0.2]], [[0.5]]]).double()
)


def field(mixture: Mixture, name: str) -> CountedField:
    path = REGISTRY.build(REGISTRY.spec("path", name))
    assert isinstance(path, AffinePath)
    return CountedField(lambda x, t: mixture.velocity(x, t, path.coefficients), path)


def flowed(mixture: Mixture, name: str, x_0: Tensor) -> Tensor:
    return Dopri5(rtol=1e-7, atol=1e-7).integrate(field(mixture, name), x_0, ENDS)


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("mixture", [GAUSSIAN, THREE], ids=["gaussian", "mixture"])
def test_likelihood_is_the_closed_form(mixture: Mixture, name: str) -> None:
    x_1 = mixture.sample(200, torch.Generator().manual_seed(0))
    found = log_likelihood(field(mixture, name), x_1, exact_divergence, steps=40)
    torch.testing.assert_close(found.mean(), mixture.log_density(x_1).mean(), rtol=0, atol=1e-4)


def test_likelihood_converges_at_order_four() -> None:
    x_1 = LINE.sample(100, torch.Generator().manual_seed(0))
    errors = [
        (log_likelihood(field(LINE, "linear"), x_1, exact_divergence, steps) - LINE.log_density(x_1)).abs().mean()
        for steps in (32, 64)
    ]
    assert errors[0] / errors[1] > 2**3.5


@pytest.mark.parametrize("name", PATHS)
def test_moments_of_the_gaussian_are_the_closed_form(name: str) -> None:
    """The flow is affine, so draws with mean 0 and covariance 1 must get the mean and covariance of the data."""
    x_0 = torch.randn(300, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x_0 = x_0 - x_0.mean(0)
    x_0 = torch.linalg.solve_triangular(torch.linalg.cholesky(x_0.T.cov(correction=0)), x_0.T, upper=False).T
    x_1 = flowed(GAUSSIAN, name, x_0)
    torch.testing.assert_close(x_1.mean(0), GAUSSIAN.mean, rtol=0, atol=1e-4)
    torch.testing.assert_close(x_1.T.cov(correction=0), GAUSSIAN.covariance, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("mixture", "n", "tolerance"), [(LINE, 4001, 1e-4), (THREE, 100, 5e-3)], ids=["line", "plane"])
def test_moments_of_the_mixture_are_the_closed_form(mixture: Mixture, n: int, tolerance: float) -> None:
    """By trapezoids over the source. In the plane it is their grid that limits the accuracy, where the flow parts."""
    axis = torch.linspace(-5.5, 5.5, n, dtype=torch.float64)
    x_0 = torch.cartesian_prod(*[axis] * mixture.means.shape[1]).reshape(-1, mixture.means.shape[1])
    weights = torch.softmax(-0.5 * x_0.square().sum(1), dim=0)
    x_0, weights = x_0[weights > 1e-9 * weights.max()], weights[weights > 1e-9 * weights.max()]
    x_1 = flowed(mixture, "linear", x_0)
    mean = weights @ x_1
    covariance = torch.einsum("n,ni,nj->ij", weights, x_1 - mean, x_1 - mean)
    torch.testing.assert_close(mean, mixture.mean, rtol=0, atol=tolerance)
    torch.testing.assert_close(covariance, mixture.covariance, rtol=0, atol=tolerance)


def test_hutchinson_agrees_with_the_trace_within_its_interval() -> None:
    n, times = 20, 1000
    x, t = THREE.sample(n, torch.Generator().manual_seed(0)), torch.full((n,), 0.6).double()
    v, exact = exact_divergence(field(THREE, "linear"), x, t)
    many = x.repeat(times, 1)
    estimator = hutchinson(signs(1, many, torch.Generator().manual_seed(1)))
    same, estimates = estimator(field(THREE, "linear"), many, t.repeat(times))
    torch.testing.assert_close(same, v.repeat(times, 1))
    found = estimates.reshape(times, n)
    interval = 4 * found.std(0) / times**0.5 + 1e-12
    assert ((found.mean(0) - exact).abs() <= interval).all()
    assert (found.std(0) > 0.01).any()


def test_several_probes_are_averaged() -> None:
    x, t = THREE.sample(20, torch.Generator().manual_seed(0)), torch.full((20,), 0.6).double()
    probes = signs(5, x, torch.Generator().manual_seed(1))
    together = hutchinson(probes)(field(THREE, "linear"), x, t)[1]
    one_by_one = [hutchinson(probe[None])(field(THREE, "linear"), x, t)[1] for probe in probes]
    torch.testing.assert_close(together, torch.stack(one_by_one).mean(0))


def test_hutchinson_by_signs_is_exact_where_the_jacobian_is_diagonal() -> None:
    rates = torch.tensor([0.5, -2.0, 3.0]).double()
    bent = CountedField(lambda x, t: rates * x + torch.sin(x))
    x, t = torch.randn(7, 3, generator=torch.Generator().manual_seed(0)).double(), torch.zeros(7).double()
    for probes in (1, 3):
        estimate = hutchinson(signs(probes, x, torch.Generator().manual_seed(2)))(bent, x, t)[1]
        torch.testing.assert_close(estimate, exact_divergence(bent, x, t)[1])


def test_a_translation_has_no_divergence() -> None:
    shift = torch.tensor([3.0, -1.0]).double()
    x_1 = torch.randn(9, 2, generator=torch.Generator().manual_seed(0)).double()
    source = Mixture(torch.ones(1).double(), torch.zeros(1, 2).double(), torch.eye(2).double()[None])
    moving = CountedField(lambda x, t: shift.expand(len(x), 2))
    for divergence in (exact_divergence, hutchinson(signs(1, x_1, torch.Generator()))):
        found = log_likelihood(moving, x_1, divergence, steps=24)
        torch.testing.assert_close(found, source.log_density(x_1 - shift), rtol=0, atol=1e-5)


def test_dpmpp_2m_at_first_order_is_euler_on_the_linear_path() -> None:
    """In up to two steps it is of first order throughout: the first, and the last, which ends in pure data."""
    x_0 = torch.randn(30, 2, generator=torch.Generator().manual_seed(0)).double()
    for times in (ENDS, torch.tensor([0.0, 0.4, 1.0]).double()):
        expected = Euler().integrate(field(THREE, "linear"), x_0, times)
        found = DPMpp2M().integrate(field(THREE, "linear"), x_0, times)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
