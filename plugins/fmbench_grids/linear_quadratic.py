"""The linear-quadratic grid: equal small steps first, then growing ones."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Gt, Le
from torch import Tensor

from fmbench import Grid


class LinearQuadratic(Grid):
    """t_i = i tau/L up to L = floor(N/2), and then i tau/L + (L - tau N) (i - L)^2/(L (N-L)^2); N = 1 is uniform.

    The first half of the steps are those of a grid of L/tau equal ones, as sampling with very many steps would take at
    the noise; the second half grow evenly from there on, so that value and slope are continuous at L. With the default
    the first half are 0.05/N each and end at 0.025, and the last step, the largest, is about 3.85/N.

    Args:
        tau: where the linear half ends, above 0 and at most 0.5, which is uniform where N is even.

    Source: Polyak et al. 2024 (Movie Gen, arXiv:2410.13720), the linear-quadratic t-schedule, 25 of 1000 linear steps;
    the parabola is that of Mochi's `linear_quadratic_schedule`, where tau is `threshold_noise`.
    """

    reference = "Polyak et al. 2024, Movie Gen (arXiv:2410.13720), linear-quadratic t-schedule"
    distinct_steps = 1000

    def __init__(self, *, tau: Annotated[float, Gt(0), Le(0.5)] = 0.025) -> None:
        self.tau = tau

    def times(self, steps: int) -> Tensor:
        """Return float64 times `(steps + 1,)`, from exactly 0 to exactly 1."""
        i = torch.arange(steps + 1, dtype=torch.float64)
        if steps == 1:
            return i
        linear = steps // 2
        growth = (linear - self.tau * steps) / (linear * (steps - linear) ** 2)
        times = i * (self.tau / linear) + growth * (i - linear).clamp(min=0).square()
        times[-1] = 1.0  # which the sum of both is, up to rounding
        return times
