"""The mode distribution of t: heavy in the middle, with weight at the ends."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import torch
from annotated_types import Ge, Le

from fmbench import TDistribution

if TYPE_CHECKING:
    from torch import Tensor

HALVINGS = 60


class Mode(TDistribution):
    """The distribution of t = u + s (cos^2(pi u/2) - 1 + u) for uniform u; its density is not 0 at the ends.

    s > 0 favours the middle, s < 0 the ends, s = 0 is uniform; s = -1 is the arcsine law. The map is monotone up to
    s = 2/(pi-2) = 1.7519, where the density has a pole at t = 1/2. Symmetric, hence the same in noise time.

    Args:
        s: scale, from -1 to 1.75.

    Source: Esser et al. 2024 (Stable Diffusion 3, arXiv:2403.03206), eq. 20; 1.29 is the best of its table 1.
    """

    reference = "Esser et al. 2024, Scaling Rectified Flow Transformers (arXiv:2403.03206), eq. 20"

    def __init__(self, *, s: Annotated[float, Ge(-1), Le(1.75)] = 1.29) -> None:
        self.s = s

    def quantile(self, u: Tensor) -> Tensor:
        """Return (1+s) u - s sin^2(pi u/2), the map written without cancellation, in the dtype of `u`."""
        return self._map(u.double()).clamp(0, 1).to(u.dtype)

    def density(self, t: Tensor) -> Tensor:
        """Return one over the slope of the map, where it takes the value `t`, in the shape and dtype of `t`."""
        nearer = torch.minimum(t.double(), 1 - t.double())
        u = self._level(nearer)
        return (1 / (1 + self.s - self.s * math.pi / 2 * torch.sin(math.pi * u))).to(t.dtype)

    def _map(self, u: Tensor) -> Tensor:
        return (1 + self.s) * u - self.s * torch.sin(math.pi / 2 * u).square()

    def _level(self, t: Tensor) -> Tensor:
        """Return the u in [0, 1/2] that the map takes to `t`, at most 1/2."""
        if self.s == -1:  # a pole at t=0, where halving would not come close enough
            return 2 / math.pi * torch.asin(torch.sqrt(t))
        low, high = torch.zeros_like(t), torch.full_like(t, 0.5)
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            below = self._map(middle) < t
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return (low + high) / 2
