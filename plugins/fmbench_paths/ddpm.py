"""The diffusion path of discrete timesteps, as DDPM and DiT are trained on."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

import torch
from annotated_types import Ge, Gt, Le, Lt

from fmbench import AffinePath

if TYPE_CHECKING:
    from torch import Tensor

LARGEST_BETA = 0.999
"""Of the cosine schedule, as its authors clip it."""


class DDPM(AffinePath):
    """x_t = sqrt(a) x_1 + sqrt(1 - a) x_0 with a = product of 1 - beta_k over discrete timesteps k, in data time.

    Timestep k = 0, ..., T - 1 lies at t = 1 - (k + 1)/T, so that t=0 is the noisiest timestep, where the data keep the
    weight sqrt(a), 0.0064 by default, and t=1 is the data, one step before k = 0. In between, ln a is interpolated by
    monotone cubics. Closer to t=1 than `clip`, the rate of sigma_t is that at t = 1 - clip, as for the path vp, which
    is the limit of many timesteps.

    Args:
        schedule: linear (DDPM, DiT), scaled_linear (linear in the root of beta: latent diffusion), or
            squaredcos_cap_v2 (a is the square of a cosine), which knows no beta_start and beta_end.
        beta_start: beta of timestep 0, next to the data.
        beta_end: beta of the last timestep.
        timesteps: T, how many there are.
        clip: how far from t=1 the rate of sigma_t stops growing, in time; above 0.

    Source: Ho et al. 2020 (DDPM, arXiv:2006.11239), eq. 4 and section 4; Nichol and Dhariwal 2021 (arXiv:2102.09672),
    eq. 17, for the cosine. The names of the schedules are those of diffusers.
    """

    reference = "Ho et al. 2020, Denoising Diffusion Probabilistic Models (arXiv:2006.11239), eq. 4"

    def __init__(
        self,
        *,
        schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2"] = "linear",
        beta_start: Annotated[float, Gt(0), Lt(1)] = 1e-4,
        beta_end: Annotated[float, Gt(0), Lt(1)] = 0.02,
        timesteps: Annotated[int, Ge(2)] = 1000,
        clip: Annotated[float, Gt(0), Le(0.1)] = 1e-4,
    ) -> None:
        self.timesteps = timesteps
        self.clip = clip
        logs = torch.log1p(-_betas(schedule, beta_start, beta_end, timesteps)).cumsum(0)
        self._logs = torch.cat([logs.new_zeros(1), logs])
        self._slopes = _monotone_slopes(self._logs.diff())

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return `alpha_t`, `sigma_t` and their derivatives by t, each of the shape of `t`."""
        log_a, rate = self._interpolated(1 - t)
        alpha_t, sigma_t = torch.exp(log_a / 2), torch.sqrt(-torch.expm1(log_a))
        kept_log_a, kept_rate = self._interpolated((1 - t).clamp(min=self.clip))
        d_sigma_t = 0.5 * kept_rate * torch.exp(kept_log_a) / torch.sqrt(-torch.expm1(kept_log_a))
        return alpha_t, sigma_t, -0.5 * rate * alpha_t, d_sigma_t

    def _interpolated(self, left: Tensor) -> tuple[Tensor, Tensor]:
        """Return ln a and its derivative by `left` = 1 - t, each of the shape of `left`."""
        place = left * self.timesteps
        node = place.detach().floor().clamp(0, self.timesteps - 1).long()
        logs, slopes = (values.to(left) for values in (self._logs, self._slopes))
        low, high, at_low, at_high = logs[node], logs[node + 1], slopes[node], slopes[node + 1]
        s, rise = place - node, high - low
        bend = at_low + at_high - 2 * rise
        lean = 3 * rise - 2 * at_low - at_high
        value = low + s * (at_low + s * (lean + s * bend))
        return value, self.timesteps * (at_low + s * (2 * lean + 3 * s * bend))


def _betas(schedule: str, start: float, end: float, timesteps: int) -> Tensor:
    """Return the share of noise that each timestep adds, float64 `(timesteps,)`."""
    if schedule == "linear":
        return torch.linspace(start, end, timesteps, dtype=torch.float64)
    if schedule == "scaled_linear":
        return torch.linspace(start**0.5, end**0.5, timesteps, dtype=torch.float64).square()
    k = torch.arange(timesteps + 1, dtype=torch.float64) / timesteps
    a = torch.cos((k + 0.008) / 1.008 * math.pi / 2).square()
    return (1 - a[1:] / a[:-1]).clamp(max=LARGEST_BETA)


def _monotone_slopes(rises: Tensor) -> Tensor:
    """Return slopes `(n + 1,)` at equally spaced nodes between which a function rises by `rises` `(n,)`, all negative.

    Source: Fritsch and Butland 1984, A method for constructing local monotone piecewise cubic interpolants.
    """
    inner = 2 * rises[1:] * rises[:-1] / (rises[1:] + rises[:-1])
    return torch.cat([rises[:1], inner, rises[-1:]])
