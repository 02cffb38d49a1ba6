"""Heun's method with EDM's ending."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from fmbench import Solver
from fmbench_solvers._runge_kutta import runge_kutta_step
from fmbench_solvers.euler import Euler
from fmbench_solvers.heun import Heun

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench import Velocity


class HeunEDM(Solver):
    """Heun's method whose last step is Euler's: the velocity is never asked at t=1, and N steps cost 2N - 1.

    One Euler step makes an error of order h^2 once, so the order stays 2. In one step it is Euler.

    Source: Karras et al. 2022 (arXiv:2206.00364), algorithm 1.
    """

    reference = "Karras et al. 2022, Elucidating the Design Space (arXiv:2206.00364), algorithm 1"
    nfe_per_step = 2
    nfe_offset = -1
    order = 2

    def integrate(self, velocity: Velocity, x_0: Tensor, times: Tensor) -> Tensor:
        """Return `x_1` of the shape of `x_0` after one step between each two of `times`, `(steps + 1,)`."""
        x = x_0
        steps = list(pairwise(times.tolist()))
        for t, t_next in steps[:-1]:
            x = runge_kutta_step(velocity, x, t, t_next, Heun.tableau)
        return runge_kutta_step(velocity, x, *steps[-1], Euler.tableau)
