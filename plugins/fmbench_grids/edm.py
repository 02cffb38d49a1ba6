"""EDM's grid: powers of the noise level."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor

from fmbench import Grid
from fmbench.errors import ComponentError


class EDM(Grid):
    """sigma^(1/rho) falls evenly from sigma_max to sigma_min, and t = 1/(1+sigma) is stretched linearly to [0, 1].

    sigma = (1-t)/t is the noise-to-data ratio of the linear path. Unstretched, the times would run from 0.012 to 0.998;
    EDM itself leaves the start and appends sigma = 0, a last step that no number of steps makes shorter. Stretched,
    every step shrinks as steps are added, so that solvers keep their order. With the defaults and many steps, the first
    of N is about 0.068/N, the last 0.051/N and the largest, at t = 0.57, 2.64/N. With rho = 1 the last is about
    sigma_max/(N + sigma_max), more than all others together until N is above sigma_max.

    Args:
        rho: exponent, above 0; above 1 it puts more steps at the data.
        sigma_min: the noise level at the data, above 0.
        sigma_max: the noise level at the source, above sigma_min.

    Source: Karras et al. 2022 (arXiv:2206.00364), eq. 5 and table 1.
    """

    reference = "Karras et al. 2022, Elucidating the Design Space (arXiv:2206.00364), eq. 5"
    distinct_steps = 1000

    def __init__(
        self,
        *,
        rho: Annotated[float, Gt(0)] = 7.0,
        sigma_min: Annotated[float, Gt(0)] = 0.002,
        sigma_max: Annotated[float, Gt(0)] = 80.0,
    ) -> None:
        if sigma_max <= sigma_min:
            raise ComponentError(f"grid edm: sigma_max must be above sigma_min; found {sigma_max:g} and {sigma_min:g}")
        self.rho = rho
        self.sigma_min = sigma_min
        self.sigma_max = sigma_max

    def times(self, steps: int) -> Tensor:
        """Return float64 times `(steps + 1,)`, from exactly 0 to exactly 1."""
        u = torch.arange(steps + 1, dtype=torch.float64) / steps
        first, last = self.sigma_max ** (1 / self.rho), self.sigma_min ** (1 / self.rho)
        t: Tensor = 1 / (1 + (first + u * (last - first)) ** self.rho)
        return (t - t[0]) / (t[-1] - t[0])
