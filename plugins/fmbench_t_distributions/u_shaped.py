"""The exponential U-shape: training time at both ends."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import torch
from annotated_types import Gt, Le

from fmbench import TDistribution

if TYPE_CHECKING:
    from torch import Tensor


class UShaped(TDistribution):
    """Density a cosh(a (t - 1/2)) / (2 sinh(a/2)): symmetric, highest at t=0 and t=1.

    The paper prints e^{at} + e^{-at} on [0, 1], which is monotone; read around t=1/2 it is the U-shape that its text
    and figures describe, and that is what stands here.

    Args:
        a: steepness, above 0; near 0 the density is uniform. Above 1000 sinh(a/2) leaves the range of a double.

    Source: Lee et al. 2024 (rectified flow++, arXiv:2405.20320), section 4.1.
    """

    reference = "Lee et al. 2024, Improving the Training of Rectified Flows (arXiv:2405.20320), section 4.1"

    def __init__(self, *, a: Annotated[float, Gt(0), Le(1000)] = 4.0) -> None:
        self.a = a

    def quantile(self, u: Tensor) -> Tensor:
        """Return 1/2 + asinh((2u - 1) sinh(a/2)) / a, computed in float64, in the dtype of `u`."""
        centred = torch.asinh((2 * u.double() - 1) * math.sinh(self.a / 2)) / self.a
        return (centred + 0.5).clamp(0, 1).to(u.dtype)

    def density(self, t: Tensor) -> Tensor:
        """Return the density at `t`, computed in float64, in the shape and dtype of `t`."""
        scale = self.a / (2 * math.sinh(self.a / 2))
        return (scale * torch.cosh(self.a * (t.double() - 0.5))).to(t.dtype)
