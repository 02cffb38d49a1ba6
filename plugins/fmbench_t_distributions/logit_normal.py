"""The logit-normal distribution of t: training time in the middle."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import torch
from annotated_types import Gt

from fmbench import TDistribution

if TYPE_CHECKING:
    from torch import Tensor


class LogitNormal(TDistribution):
    """The distribution of t whose logit ln(t/(1-t)) is normal: little weight at the ends, none at t=0 and t=1.

    Stable Diffusion 3 has noise at t=1: its location m is `-mean` here.

    Args:
        mean: of the logit; above 0 it favours times near the data.
        std: standard deviation of the logit, above 0.

    Source: Esser et al. 2024 (Stable Diffusion 3, arXiv:2403.03206), eq. 19.
    """

    reference = "Esser et al. 2024, Scaling Rectified Flow Transformers (arXiv:2403.03206), eq. 19"

    def __init__(self, *, mean: float = 0.0, std: Annotated[float, Gt(0)] = 1.0) -> None:
        self.mean = mean
        self.std = std

    def quantile(self, u: Tensor) -> Tensor:
        """Return sigmoid(mean + std Phi^-1(u)), computed in float64, in the dtype of `u`."""
        return torch.sigmoid(self.mean + self.std * torch.special.ndtri(u.double())).to(u.dtype)

    def density(self, t: Tensor) -> Tensor:
        """Return N(logit t; mean, std) / (t (1-t)), in the dtype of `t`; at the ends it is its limit, 0."""
        s = t.double()
        z = (torch.logit(s) - self.mean) / self.std
        density = torch.exp(-0.5 * z.square()) / (self.std * math.sqrt(2 * math.pi) * s * (1 - s))
        return torch.where((s > 0) & (s < 1), density, 0.0).to(t.dtype)
