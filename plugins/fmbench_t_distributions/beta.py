"""The beta distribution of t, the arcsine U-shape among others."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import torch
from annotated_types import Gt

from fmbench import TDistribution

if TYPE_CHECKING:
    from torch import Tensor


class Beta(TDistribution):
    """Density t^(alpha-1) (1-t)^(beta-1) / B(alpha, beta) on [0, 1].

    alpha = beta = 1/2 is the arcsine law 1/(pi sqrt(t (1-t))), a U-shape; 1, 1 is uniform. Quantiles are exact where
    they have a closed form (1/2, 1/2, or a parameter that is 1); elsewhere scipy inverts the incomplete beta function
    in float64 on the CPU.

    Args:
        alpha: exponent at t=0, above 0; below 1 the density has a pole there.
        beta: exponent at t=1, above 0; below 1 the density has a pole there.

    Source: Johnson, Kotz and Balakrishnan 1995, Continuous Univariate Distributions 2, eq. 25.1.
    """

    reference = "Johnson, Kotz and Balakrishnan 1995, Continuous Univariate Distributions 2, chapter 25"

    def __init__(self, *, alpha: Annotated[float, Gt(0)] = 0.5, beta: Annotated[float, Gt(0)] = 0.5) -> None:
        self.alpha = alpha
        self.beta = beta

    def quantile(self, u: Tensor) -> Tensor:
        """Return the inverse of the regularised incomplete beta function at `u`, in the shape and dtype of `u`."""
        return self._quantile(u.double()).to(u.dtype)

    def density(self, t: Tensor) -> Tensor:
        """Return the density at `t`, computed in float64 through logarithms, in the shape and dtype of `t`."""
        s = t.double()
        a, b = self.alpha, self.beta
        logarithm = torch.xlogy(torch.full_like(s, a - 1), s) + torch.special.xlog1py(torch.full_like(s, b - 1), -s)
        return torch.exp(logarithm - (math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b))).to(t.dtype)

    def _quantile(self, u: Tensor) -> Tensor:
        if self.alpha == self.beta == 0.5:
            return torch.sin(math.pi / 2 * u).square()
        if self.beta == 1:
            return u ** (1 / self.alpha)
        if self.alpha == 1:
            return -torch.expm1(torch.log1p(-u) / self.beta)
        from scipy.special import betaincinv

        return torch.from_numpy(betaincinv(self.alpha, self.beta, u.cpu().numpy())).to(u.device)
