"""The variance-preserving path of diffusion models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import torch
from annotated_types import Gt, Le

from fmbench import AffinePath
from fmbench.errors import ComponentError

if TYPE_CHECKING:
    from torch import Tensor


class VP(AffinePath):
    """x_t = exp(-T/2) x_1 + sqrt(1 - exp(-T)) x_0 with T = (1-t)^2 (B-b)/2 + (1-t) b: the diffusion path, in data time.

    T is the integral of a noise rate that rises linearly from b at the data to B at the noise. At t=0 the data is still
    there with weight exp(-(b+B)/4), 0.0066 by default. d_sigma_t grows as (1-t)^(-1/2) towards t=1, and E|dx_t|^2 has
    no bound: closer to t=1 than `clip`, d_sigma_t is the one at t = 1 - clip. x_t itself is not clipped, so it ends at
    the data.

    Args:
        beta_min: b, the noise rate at the data, above 0.
        beta_max: B, the noise rate at the noise, at least b.
        clip: how far from t=1 the rate of sigma_t stops growing, in time; above 0.

    Source: Song et al. 2021 (arXiv:2011.13456), eqs. 32 and 33; Lipman et al. 2023 (arXiv:2210.02747), eq. 18.
    """

    reference = "Song et al. 2021, Score-Based Generative Modeling through SDEs (arXiv:2011.13456), eqs. 32-33"

    def __init__(
        self,
        *,
        beta_min: Annotated[float, Gt(0)] = 0.1,
        beta_max: Annotated[float, Gt(0)] = 20.0,
        clip: Annotated[float, Gt(0), Le(0.1)] = 1e-4,
    ) -> None:
        if beta_max < beta_min:
            raise ComponentError(f"path vp: beta_max must be at least beta_min; found {beta_max:g} and {beta_min:g}")
        self.beta_min = beta_min
        self.beta_max = beta_max
        self.clip = clip

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return `alpha_t`, `sigma_t` and their derivatives by t, each of the shape of `t`."""
        left = 1 - t
        rate, total = self._rate(left), self._total(left)
        alpha_t, sigma_t = torch.exp(-total / 2), torch.sqrt(-torch.expm1(-total))
        kept = left.clamp(min=self.clip)
        total_kept = self._total(kept)
        d_sigma_t = -0.5 * self._rate(kept) * torch.exp(-total_kept) / torch.sqrt(-torch.expm1(-total_kept))
        return alpha_t, sigma_t, 0.5 * rate * alpha_t, d_sigma_t

    def _rate(self, left: Tensor) -> Tensor:
        """Return the noise rate -dT/dt where `left` = 1 - t."""
        return left * (self.beta_max - self.beta_min) + self.beta_min

    def _total(self, left: Tensor) -> Tensor:
        """Return T where `left` = 1 - t."""
        return left.square() * ((self.beta_max - self.beta_min) / 2) + left * self.beta_min
