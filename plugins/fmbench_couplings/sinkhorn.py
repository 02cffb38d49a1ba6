"""The coupling by entropic optimal transport within a batch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import torch
from annotated_types import Ge, Gt

from fmbench import Coupling
from fmbench_couplings._transport import SOFT, STRETCH, first_potentials, kernel, scale, spread, squared_distances

if TYPE_CHECKING:
    from torch import Generator, Tensor

COOLING = 0.25
"""How much the regularisation falls between stages on its way down to `reg`."""
ROUGH = 0.05
"""The error with which a stage before the last is done."""


class Sinkhorn(Coupling):
    """Draws pairs from the plan of least |x_0 - x_1|^2 + reg x KL(plan | independent): entropic OT.

    Each x_1 keeps its place and its label, and its x_0 is drawn from the plan's column: x_1 is there once, x_0 once on
    average. Labels are not looked at, with the skew of minibatch_ot. `reg` towards 0 gives minibatch_ot, without bound
    independent.

    The unit of `reg` is the spread of the costs, the root mean square of what is left of |x_0 - x_1|^2 less the means
    of its row and column, which change no plan: one value means the same for data of any scale, place and dimension.
    With `relative` off it is squared distance, and 2 sigma^2 makes schrodinger_bridge a Schroedinger bridge.

    Args:
        reg: strength of the entropy, above 0.
        relative: whether `reg` is in units of the costs' spread, or else of squared distance.
        tolerance: total variation distance, at most, between the plan's x_0 and the batch's.
        iterations: the most that may be needed to come that close; beyond it training fails, saying so.
        pool: how many training batches are paired at once.

    Source: Tong et al. 2024 (arXiv:2302.00482), section 3.2.4; Cuturi 2013 (arXiv:1306.0895), algorithm 1.
    """

    reference = "Tong et al. 2024, Minibatch Optimal Transport (arXiv:2302.00482), section 3.2.4"
    permutes = False

    def __init__(
        self,
        *,
        reg: Annotated[float, Gt(0)] = 0.1,
        relative: bool = True,
        tolerance: Annotated[float, Gt(0)] = 1e-3,
        iterations: Annotated[int, Ge(1)] = 10_000,
        pool: Annotated[int, Ge(1)] = 1,
    ) -> None:
        self.reg = reg
        self.relative = relative
        self.tolerance = tolerance
        self.iterations = iterations
        self.pool = pool

    def pair(
        self, x_0: Tensor, x_1: Tensor, y: Tensor | None, generator: Generator
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return, for each `x_1`, an `x_0` drawn from its column of the plan; `x_1` and `y` as they are.

        `x_0` and `x_1` are `(batch, *shape)`, labels `(batch,)` or None. Raises RuntimeError where the plan does not
        converge.
        """
        cumulative = self.plan(x_0, x_1).T.cumsum(1)
        u = torch.rand(len(x_1), 1, generator=generator, device=x_1.device, dtype=cumulative.dtype)
        rows = torch.searchsorted(cumulative, u * cumulative[:, -1:]).squeeze(1)
        return x_0[rows.clamp(max=len(x_0) - 1)], x_1, y

    def plan(self, x_0: Tensor, x_1: Tensor) -> Tensor:
        """Return the joint distribution of rows of `x_0` and rows of `x_1`, float64 `(batch, batch)`.

        Its columns sum to 1/batch, its rows to that within `tolerance`. Raises RuntimeError without convergence.
        """
        costs = squared_distances(x_0, x_1)
        unit = spread(costs)
        reg = self.reg * unit if self.relative else self.reg
        if reg == 0:  # no cost depends on the pairing
            return torch.full_like(costs, 1 / costs.numel())
        return self._scaled(costs, reg, max(reg, SOFT * unit))

    def _scaled(self, costs: Tensor, reg: float, start: float) -> Tensor:
        """Return the plan for an absolute `reg`, by Sinkhorn's scaling at strengths that fall from `start` to it.

        Scalings are folded into the potentials after every stretch, so that no exponent is out of range
        (Schmitzer 2019, arXiv:1610.06519, section 3).
        """
        f, g = first_potentials(costs)
        strength, used, error = start, 0, math.inf
        while used < self.iterations:
            f, g, error = scale(costs, f, g, strength)
            used += STRETCH
            if strength == reg and error <= self.tolerance:
                return kernel(costs, f, g, reg) / len(costs)
            if not math.isfinite(error):
                break
            if strength > reg and error <= max(ROUGH, self.tolerance):
                strength = max(reg, COOLING * strength)
        raise RuntimeError(self._failure(strength, used, error))

    def _failure(self, strength: float, used: int, error: float) -> str:
        return (
            f"coupling sinkhorn did not converge: after {used} iterations with reg={self.reg:g} ({strength:.3g} in "
            f"squared distance) its x_0 is {error:.3g} away from the batch's in total variation, and tolerance is "
            f"{self.tolerance:g}. Raise reg, tolerance or iterations; minibatch_ot is the limit of small reg."
        )
