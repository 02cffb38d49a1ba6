"""The CosMap distribution of t: the cosine path's log-SNR on the linear path."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from fmbench import TDistribution

if TYPE_CHECKING:
    from torch import Tensor


class CosMap(TDistribution):
    """Density 2 / (pi (1 - 2t + 2t^2)): the linear path sees the log-SNR that the cosine path sees under uniform t.

    Symmetric, hence the same in noise time; twice as dense in the middle as at the ends.

    Source: Esser et al. 2024 (Stable Diffusion 3, arXiv:2403.03206), section 3.1, CosMap (eq. 21).
    """

    reference = "Esser et al. 2024, Scaling Rectified Flow Transformers (arXiv:2403.03206), eq. 21"

    def quantile(self, u: Tensor) -> Tensor:
        """Return 1 - 1/(tan(pi u/2) + 1), as a ratio of sines that is finite at both ends, in the dtype of `u`."""
        sine, cosine = torch.sin(math.pi / 2 * u.double()), torch.sin(math.pi / 2 * (1 - u.double()))
        return (sine / (sine + cosine)).to(u.dtype)

    def density(self, t: Tensor) -> Tensor:
        """Return the density at `t`, in the shape and dtype of `t`."""
        return 2 / (math.pi * (1 - 2 * t + 2 * t.square()))
