"""torchdiffeq's fixed-grid methods, on exactly the grid of the suite.

torchdiffeq's `step_size=1/N` makes N+1 steps for some N in float32, so the grid is handed over instead. Its
`explicit_adams` is left out: it raises its order to 11 with the number of steps, assumes that all steps have one size
whatever the grid, and its evaluations are no fixed multiple of the steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from fmbench import Solver

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench import Velocity


class TorchdiffeqFixed(Solver):
    """A method of torchdiffeq that takes the steps of the grid; `method` is its name there."""

    method: ClassVar[str]

    def integrate(self, velocity: Velocity, x_0: Tensor, times: Tensor) -> Tensor:
        """Return `x_1` of the shape of `x_0` after one step between each two of `times`, `(steps + 1,)`."""
        from torchdiffeq import odeint

        # Only the ends are asked for: with all times as output points torchdiffeq would keep every state.
        options = {"grid_constructor": lambda function, y, t: times}
        batch = x_0.shape[0]
        states = odeint(
            lambda t, x: velocity(x, t.repeat(batch)), x_0, times[[0, -1]], method=self.method, options=options
        )
        return states[-1]  # type: ignore[no-any-return]


class TorchdiffeqEuler(TorchdiffeqFixed):
    """torchdiffeq's `euler`: one evaluation a step, first order."""

    reference = "Chen 2018, torchdiffeq, method euler"
    nfe_per_step = 1
    order = 1
    method = "euler"


class TorchdiffeqMidpoint(TorchdiffeqFixed):
    """torchdiffeq's `midpoint`: two evaluations a step, second order."""

    reference = "Chen 2018, torchdiffeq, method midpoint"
    nfe_per_step = 2
    order = 2
    method = "midpoint"


class TorchdiffeqHeun3(TorchdiffeqFixed):
    """torchdiffeq's `heun3`, Heun's method of third order: three evaluations a step."""

    reference = "Chen 2018, torchdiffeq, method heun3"
    nfe_per_step = 3
    order = 3
    method = "heun3"


class TorchdiffeqRK4(TorchdiffeqFixed):
    """torchdiffeq's `rk4`, which is the 3/8 rule and not the classic method: four evaluations a step, fourth order."""

    reference = "Chen 2018, torchdiffeq, method rk4 (the 3/8 rule)"
    nfe_per_step = 4
    order = 4
    method = "rk4"
