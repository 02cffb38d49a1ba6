"""The variance-preserving path whose data weight is linear in t."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import torch
from annotated_types import Gt, Le

from fmbench import AffinePath

if TYPE_CHECKING:
    from torch import Tensor


class LinearVP(AffinePath):
    """x_t = t x_1 + sqrt(1-t^2) x_0, which keeps the variance of unit-variance data, as the cosine path does.

    d_sigma_t = -t / sqrt(1-t^2) grows as (1-t)^(-1/2) towards t=1, and E|dx_t|^2 has no bound: closer to t=1 than
    `clip`, d_sigma_t is the one at t = 1 - clip. x_t itself is not clipped, so it ends at the data.

    Args:
        clip: how far from t=1 the rate of sigma_t stops growing, in time; above 0.

    Source: Meta's flow_matching library, `LinearVPScheduler` (Lipman et al. 2024, arXiv:2412.06264).
    """

    reference = "Lipman et al. 2024, Flow Matching Guide and Code (arXiv:2412.06264), LinearVPScheduler"

    def __init__(self, *, clip: Annotated[float, Gt(0), Le(0.1)] = 1e-4) -> None:
        self.clip = clip

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return `t`, `sqrt(1-t^2)`, 1 and `-t/sqrt(1-t^2)`, each of the shape of `t`."""
        kept = t.clamp(max=1 - self.clip)
        sigma_t, sigma_kept = torch.sqrt((1 - t) * (1 + t)), torch.sqrt((1 - kept) * (1 + kept))
        return t, sigma_t, torch.ones_like(t), -kept / sigma_kept
