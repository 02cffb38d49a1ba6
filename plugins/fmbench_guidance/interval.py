"""Classifier-free guidance in a part of [0, 1] only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import torch
from annotated_types import Ge, Le

from fmbench import Guidance, expand

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench import NetworkCalls


class Interval(Guidance):
    """Classifier-free guidance where start <= t < end, and none elsewhere; an interval that ends at 1 holds t=1.

    Guidance at the noise takes variety away, and at the data it does nothing: outside an evaluation costs one call.
    Published intervals are of noise levels: guidance where sigma_lo < sigma <= sigma_hi, for x = x_1 + sigma noise, is
    start = 1/(1 + sigma_hi) and end = 1/(1 + sigma_lo) on the linear path, since sigma = (1 - t)/t there.

    Args:
        weight: the weight inside the interval; 1 is none.
        start: where it begins in t, 0 being the noise.
        end: where it ends in t, 1 being the data.

    Source: Kynkaanniemi et al. 2024 (Applying Guidance in a Limited Interval Improves Sample and Distribution Quality
    in Diffusion Models, arXiv:2404.07724), eq. 5.
    """

    reference = "Kynkaanniemi et al. 2024, Applying Guidance in a Limited Interval (arXiv:2404.07724), eq. 5"
    requires = ("labels", "no_label")
    network_calls = 0

    def __init__(
        self,
        *,
        weight: float,
        start: Annotated[float, Ge(0), Le(1)] = 0.2,
        end: Annotated[float, Ge(0), Le(1)] = 0.8,
    ) -> None:
        if start >= end:
            raise ValueError(f"start must lie before end, both in t; found start {start:g} and end {end:g}")
        self.weight, self.start, self.end = weight, start, end

    def velocity(self, calls: NetworkCalls, x: Tensor, t: Tensor) -> Tensor:
        """Return dx/dt at `x` `(batch, *shape)` and `t` `(batch,)`, of the shape of `x`."""
        conditional = calls.conditional(x, t)
        inside = t >= self.start if self.end == 1 else (t >= self.start) & (t < self.end)
        if not bool(inside.any()):
            return conditional
        guided = torch.lerp(calls.unconditional(x, t), conditional, self.weight)
        return torch.where(expand(inside, x), guided, conditional)
