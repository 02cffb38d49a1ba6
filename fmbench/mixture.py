"""Mixtures of Gaussians: exact draws and the exact density."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Generator, Tensor


@dataclass(frozen=True)
class Mixture:
    """A mixture of k Gaussians in `dim` dimensions.

    `weights` is float64 `(k,)` and sums to 1, `means` `(k, dim)`, `covariances` `(k, dim, dim)`.
    """

    weights: Tensor
    means: Tensor
    covariances: Tensor

    @cached_property
    def factors(self) -> Tensor:
        """The lower Cholesky factors of the covariances, `(k, dim, dim)`."""
        factors: Tensor = torch.linalg.cholesky(self.covariances)
        return factors

    def sample(self, n: int, generator: Generator) -> Tensor:
        """Draw float64 `(n, dim)`."""
        component = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        noise = torch.randn(n, self.means.shape[1], dtype=torch.float64, generator=generator)
        return self.means[component] + torch.einsum("nij,nj->ni", self.factors[component], noise)

    def log_density(self, x: Tensor) -> Tensor:
        """Return the log-density at `x` `(batch, dim)`, `(batch,)` in nats, in the dtype and on the device of `x`."""
        weights, means, factors = (a.to(x) for a in (self.weights, self.means, self.factors))
        # (k, dim, batch): L^-1 (x - mean), whose squared length is the Mahalanobis distance.
        whitened = torch.linalg.solve_triangular(factors, (x - means[:, None]).transpose(1, 2), upper=False)
        log_norm = torch.log(torch.diagonal(factors, dim1=1, dim2=2)).sum(1) + 0.5 * x.shape[1] * math.log(2 * math.pi)
        log_terms = torch.log(weights) - log_norm
        return torch.logsumexp(log_terms[:, None] - 0.5 * whitened.square().sum(1), dim=0)
