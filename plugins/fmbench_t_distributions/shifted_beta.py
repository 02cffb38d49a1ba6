"""pi0's shifted beta distribution of t: training time at the noise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import torch
from annotated_types import Gt, Le

from fmbench import TDistribution
from fmbench_t_distributions.beta import Beta

if TYPE_CHECKING:
    from torch import Tensor


class ShiftedBeta(TDistribution):
    """The distribution of t = s (1 - B) with B ~ Beta(alpha, beta): in noise time, s B + 1 - s, as openpi writes it.

    Times from s to 1 are never drawn: with fewer than 1/(1-s) steps a solver asks for none of them.

    Args:
        alpha: exponent of B at 0, which is t=s; above 0.
        beta: exponent of B at 1, which is t=0; above 0.
        s: the largest t, in (0, 1].

    Source: Black et al. 2024 (pi0, arXiv:2410.24164), appendix B; openpi, `pi0.py`, `compute_loss`.
    """

    reference = "Black et al. 2024, pi0 (arXiv:2410.24164), appendix B"

    def __init__(
        self,
        *,
        alpha: Annotated[float, Gt(0)] = 1.5,
        beta: Annotated[float, Gt(0)] = 1.0,
        s: Annotated[float, Gt(0), Le(1)] = 0.999,
    ) -> None:
        self.alpha = alpha
        self.beta = beta
        self.s = s
        self._mirrored = Beta(alpha=beta, beta=alpha)  # the distribution of 1 - B

    def quantile(self, u: Tensor) -> Tensor:
        """Return s times the quantile of Beta(beta, alpha) at `u`, in the shape and dtype of `u`."""
        return (self.s * self._mirrored.quantile(u.double())).to(u.dtype)

    def density(self, t: Tensor) -> Tensor:
        """Return the density of Beta(beta, alpha) at t/s, over s, and 0 beyond s, in the shape and dtype of `t`."""
        scaled = t.double() / self.s
        inside = self._mirrored.density(scaled.clamp(max=1)) / self.s
        return torch.where(scaled <= 1, inside, 0.0).to(t.dtype)
