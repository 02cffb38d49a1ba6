"""Mixtures of Gaussians: exact draws, the exact density, and the exact marginal velocity of every affine path."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import torch

if TYPE_CHECKING:
    from torch import Generator, Tensor

    Schedule = Callable[[Tensor], tuple[Tensor, Tensor, Tensor, Tensor]]
    """`Path.gaussian`, for affine paths `coefficients`: t `(n,)` to `alpha_t, sigma_t, d_alpha_t, d_sigma_t`."""


GRID_POINTS = {1: 512, 2: 40, 3: 24}
"""Points an axis, by dimension, of the grids that means over a Gaussian are taken on."""


@dataclass(frozen=True)
class Posterior:
    """What a noisy `x_t` `(batch, dim)` says of its two ends, component by component.

    `log_density` `(batch,)` is that of the marginal p_t at `x_t`, `responsibilities` `(k, batch)` are the components'
    probabilities given `x_t`. `x_1` and `x_0`, both `(k, batch, dim)`, are the means of data and source given `x_t` and
    the component.
    """

    log_density: Tensor
    responsibilities: Tensor
    x_1: Tensor
    x_0: Tensor

    @property
    def mean_x_1(self) -> Tensor:
        """E[x_1 | x_t], `(batch, dim)`."""
        return torch.einsum("kb,kbd->bd", self.responsibilities, self.x_1)

    @property
    def mean_x_0(self) -> Tensor:
        """E[x_0 | x_t], `(batch, dim)`."""
        return torch.einsum("kb,kbd->bd", self.responsibilities, self.x_0)


@dataclass(frozen=True)
class Mixture:
    """A mixture of k Gaussians in `dim` dimensions.

    `weights` is float64 `(k,)` and sums to 1, `means` `(k, dim)`, `covariances` `(k, dim, dim)`.

    Where it is the data of an affine path x_t = alpha x_1 + sigma x_0 whose source x_0 is standard normal and drawn
    independently of x_1, the marginal velocity that flow matching learns is known in closed form, and with it the loss
    that no network can get below. `coefficients` is the path's own function of t, `AffinePath.coefficients`, so where a
    path clips the rate of a coefficient, so does what is computed here. `Path.gaussian` will do for the posterior and
    the velocity of other paths; their irreducible loss is another.

    Source of the velocity: Lipman et al. 2024 (arXiv:2412.06264), section 4.8.1; the posterior is Bayes' rule.
    """

    GRID_DIMENSIONS: ClassVar[int] = 3
    """Up to how many dimensions `irreducible_loss` serves mixtures of more than one Gaussian."""

    weights: Tensor
    means: Tensor
    covariances: Tensor

    @cached_property
    def factors(self) -> Tensor:
        """The lower Cholesky factors of the covariances, `(k, dim, dim)`."""
        factors: Tensor = torch.linalg.cholesky(self.covariances)
        return factors

    @cached_property
    def axes(self) -> tuple[Tensor, Tensor]:
        """The variances of the components along their principal axes, `(k, dim)`, and the axes as columns."""
        variances, axes = torch.linalg.eigh(self.covariances)
        return variances, axes

    @property
    def mean(self) -> Tensor:
        """The mean of the whole, `(dim,)`."""
        return self.weights @ self.means

    @property
    def covariance(self) -> Tensor:
        """The covariance of the whole, `(dim, dim)`."""
        centred = self.means - self.mean
        within = torch.einsum("k,kij->ij", self.weights, self.covariances)
        return within + torch.einsum("k,ki,kj->ij", self.weights, centred, centred)

    def sample(self, n: int, generator: Generator) -> Tensor:
        """Draw float64 `(n, dim)`."""
        return self.sample_labelled(n, generator)[0]

    def sample_labelled(
        self, n: int, generator: Generator, dtype: torch.dtype = torch.float64
    ) -> tuple[Tensor, Tensor]:
        """Draw points `(n, dim)` and the components that they come from, int64 `(n,)`, on the generator's device."""
        device = generator.device
        # First the dtype: a device without float64 takes no such tensor.
        weights, means, factors = (a.to(dtype).to(device) for a in (self.weights, self.means, self.factors))
        component = torch.multinomial(weights, n, replacement=True, generator=generator)
        noise = torch.randn(n, means.shape[1], dtype=dtype, generator=generator, device=device)
        return means[component] + torch.einsum("nij,nj->ni", factors[component], noise), component

    def log_density(self, x: Tensor) -> Tensor:
        """Return the log-density at `x` `(batch, dim)`, `(batch,)` in nats, in the dtype and on the device of `x`."""
        weights, means, factors = (a.to(x) for a in (self.weights, self.means, self.factors))
        # (k, dim, batch): L^-1 (x - mean), whose squared length is the Mahalanobis distance.
        whitened = torch.linalg.solve_triangular(factors, (x - means[:, None]).transpose(1, 2), upper=False)
        log_norm = torch.log(torch.diagonal(factors, dim1=1, dim2=2)).sum(1) + 0.5 * x.shape[1] * math.log(2 * math.pi)
        log_terms = torch.log(weights) - log_norm
        return torch.logsumexp(log_terms[:, None] - 0.5 * whitened.square().sum(1), dim=0)

    def posterior(self, x: Tensor, alpha_t: Tensor, sigma_t: Tensor) -> Posterior:
        """Return what `x` = alpha x_1 + sigma x_0 says of x_1 and x_0, in the dtype and on the device of `x`.

        `x` is `(batch, dim)`, `alpha_t` and `sigma_t` are `(batch,)`. Either may be 0, not both.
        """
        weights, means, variances, axes = (a.to(x) for a in (self.weights, self.means, *self.axes))
        alpha_t, sigma_t = alpha_t[:, None], sigma_t[:, None]
        spread = alpha_t.square() * variances[:, None] + sigma_t.square()
        along_axes = (x - alpha_t * means[:, None]) @ axes
        standard = along_axes / spread
        log_terms = torch.log(weights)[:, None] - 0.5 * (along_axes * standard + torch.log(2 * math.pi * spread)).sum(2)
        log_density = torch.logsumexp(log_terms, dim=0)
        x_1 = means[:, None] + alpha_t * (variances[:, None] * standard) @ axes.mT
        return Posterior(log_density, torch.exp(log_terms - log_density), x_1, sigma_t * standard @ axes.mT)

    def velocity(self, x: Tensor, t: Tensor, coefficients: Schedule) -> Tensor:
        """Return u_t(x) = d_alpha E[x_1 | x_t=x] + d_sigma E[x_0 | x_t=x] for `t` `(batch,)`, of the shape of `x`."""
        alpha_t, sigma_t, d_alpha_t, d_sigma_t = coefficients(t)
        posterior = self.posterior(x, alpha_t, sigma_t)
        return d_alpha_t[:, None] * posterior.mean_x_1 + d_sigma_t[:, None] * posterior.mean_x_0

    def irreducible_loss_at(self, t: Tensor, coefficients: Schedule) -> Tensor:
        """Return E|dx_t - u_t(x_t)|^2 a dimension at each `t` `(n,)`, float64 `(n,)`: the loss of the exact velocity.

        Raises ValueError for several components in more than `GRID_DIMENSIONS` dimensions, as `irreducible_loss` does.
        """
        t = t.double()
        return self._within_components(t, coefficients) + self._between_components(t, coefficients)

    def irreducible_loss(self, coefficients: Schedule, low: float = 0.0, high: float = 1.0) -> float:
        """Return the mean of `irreducible_loss_at` over uniform t in [low, high], by Gauss-Legendre quadrature.

        Where E|dx_t|^2 grows towards an end, without bound or up to where the path clips it, that is the part within
        components, which is cheap: its panels shrink further.
        """
        t, weights = unit_rule(panels=46, nodes=16, least=2**-24)
        within = weights @ self._within_components(low + (high - low) * t, coefficients)
        t, weights = unit_rule(panels=4, nodes=8, least=2**-8)
        between = weights @ self._between_components(low + (high - low) * t, coefficients)
        return float(within + between)

    def _within_components(self, t: Tensor, coefficients: Schedule) -> Tensor:
        """Return the mean variance of dx_t given x_t and the component, a dimension, `(n,)`; in closed form."""
        alpha_t, sigma_t, d_alpha_t, d_sigma_t = (c[:, None, None] for c in coefficients(t))
        variances = self.axes[0]
        turning = (alpha_t * d_sigma_t - sigma_t * d_alpha_t).square()
        of_component = (turning * variances / (alpha_t.square() * variances + sigma_t.square())).mean(2)
        return of_component @ self.weights

    def _between_components(self, t: Tensor, coefficients: Schedule) -> Tensor:
        """Return how far the components' velocities at x_t spread about u_t(x_t), a dimension, `(n,)`.

        By trapezoids on a grid around each component, one t at a time.
        """
        k, dim = self.means.shape
        if k == 1:
            return torch.zeros_like(t)
        if dim > self.GRID_DIMENSIONS:
            raise ValueError(
                f"the irreducible loss of a mixture of several Gaussians is computed in up to {self.GRID_DIMENSIONS} "
                f"dimensions; found {k} Gaussians in {dim}. Estimate it from draws."
            )
        nodes, node_weights = normal_grid(dim)
        found = []
        for alpha, sigma, d_alpha, d_sigma in zip(*coefficients(t), strict=True):
            variances, axes = self.axes
            stretched = nodes * torch.sqrt(alpha.square() * variances + sigma.square())[:, None]
            x = (alpha * self.means[:, None] + stretched @ axes.mT).flatten(0, 1)
            posterior = self.posterior(x, alpha.expand(len(x)), sigma.expand(len(x)))
            u = d_alpha * posterior.x_1 + d_sigma * posterior.x_0
            centre = d_alpha * posterior.mean_x_1 + d_sigma * posterior.mean_x_0
            spread = (posterior.responsibilities * (u - centre).square().mean(2)).sum(0)
            found.append(self.weights @ (spread.reshape(k, -1) @ node_weights))
        return torch.stack(found)


def unit_rule(panels: int, nodes: int, least: float) -> tuple[Tensor, Tensor]:
    """Return points and weights, float64 `(2 * panels * nodes,)`, for means over [0, 1], by Gauss-Legendre quadrature.

    There are `panels` in each half; they shrink geometrically towards 0 and 1, where the last has the width `least`.
    """
    import numpy as np

    points, weights = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(nodes))
    edges = torch.logspace(math.log2(least), -1, panels, base=2, dtype=torch.float64)
    edges = torch.cat([edges.new_zeros(1), edges, 1 - edges[:-1].flip(0), edges.new_ones(1)])
    halves = torch.diff(edges)[:, None] / 2
    return (edges[:-1, None] + halves * (1 + points)).flatten(), (halves * weights).flatten()


def normal_grid(dim: int) -> tuple[Tensor, Tensor]:
    """Return points `(n, dim)` and weights `(n,)`, float64, for means over a standard normal in `dim` dimensions.

    Trapezoids, whose error falls exponentially with their number, and faster than that of Gauss-Hermite quadrature
    where responsibilities change within a small part of a standard deviation. Points of no weight are left out.
    """
    axis = torch.linspace(-7, 7, GRID_POINTS[dim], dtype=torch.float64)
    grid = torch.cartesian_prod(*[axis] * dim).reshape(-1, dim)
    log_weights = -0.5 * grid.square().sum(1)
    kept = log_weights > -0.5 * 7**2
    return grid[kept], torch.softmax(log_weights[kept], dim=0)
