"""The cosine path: the trigonometric, variance-preserving interpolant."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from fmbench import AffinePath

if TYPE_CHECKING:
    from torch import Tensor

HALF_PI = math.pi / 2


class Cosine(AffinePath):
    """x_t = sin(pi t/2) x_1 + cos(pi t/2) x_0, which keeps the variance of unit-variance data (GVP in SiT).

    Source: Albergo and Vanden-Eijnden 2023 (arXiv:2209.15571), eq. 5; SiT (Ma et al. 2024, arXiv:2401.08740), GVP.
    """

    reference = "Albergo and Vanden-Eijnden 2023, Stochastic Interpolants (arXiv:2209.15571), eq. 5"

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the sine, the cosine and their derivatives by t, each of the shape of `t`."""
        # cos(pi t/2) is written as a sine, because cos of the rounded pi/2 is not 0 and x_t at t=1 would not be x_1.
        angle = HALF_PI * t
        alpha_t, sigma_t = torch.sin(angle), torch.sin(HALF_PI * (1 - t))
        return alpha_t, sigma_t, HALF_PI * sigma_t, -HALF_PI * alpha_t
