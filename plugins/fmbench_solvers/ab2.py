"""The Adams-Bashforth method with two steps, on grids of any spacing."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch

from fmbench import Solver

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench import Velocity


class AB2(Solver):
    """x + h [(1 + r) v - r v'] with r = h/(2h'), v' and h' of the step before: second order for one evaluation a step.

    The first step is Euler's: its error of order h^2 happens once and does not lower the order.

    Few steps: with the exact velocity of a mixture this ends up to 1.13 times as far from the exact flow as Euler does
    at 2 equal steps on the cosine path, and up to 1.3 times at 3 to 6 on vp, where the velocity grows faster than a
    straight line through two of its values; elsewhere it ends at 0.9 times Euler's distance or less.

    Source: Hairer, Norsett and Wanner 1993, Solving Ordinary Differential Equations I, section III.5, eq. 5.3 with k=2.
    """

    reference = "Hairer, Norsett and Wanner 1993, Solving Ordinary Differential Equations I, section III.5"
    nfe_per_step = 1
    order = 2

    def integrate(self, velocity: Velocity, x_0: Tensor, times: Tensor) -> Tensor:
        """Return `x_1` of the shape of `x_0` after one step between each two of `times`, `(steps + 1,)`."""
        x = x_0
        v_previous: Tensor | None = None
        h_previous = 1.0
        nodes = times.tolist()
        for t, t_next in pairwise(nodes):
            h = t_next - t
            v = velocity(x, x.new_full((x.shape[0],), t))
            if v_previous is None:
                x = torch.add(x, v, alpha=h)
            else:
                r = h / (2 * h_previous)
                x = torch.add(x, v, alpha=h * (1 + r)).add_(v_previous, alpha=-h * r)
            v_previous, h_previous = v, h
        return x
