"""Explicit Runge-Kutta methods from their tableaus: coefficients are data, the step is written once."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

import torch

from fmbench import Solver

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench import Velocity


@dataclass(frozen=True)
class Tableau:
    """A Butcher tableau of an explicit method with s stages.

    `c` holds the s nodes, `a` the s rows below the diagonal (row i has i entries), `b` the s weights. Source: Hairer,
    Norsett and Wanner 1993, Solving Ordinary Differential Equations I, section II.1, eq. 1.8 and table 1.1.
    """

    c: tuple[float, ...]
    a: tuple[tuple[float, ...], ...]
    b: tuple[float, ...]


class ExplicitRungeKutta(Solver):
    """A solver that is its tableau: k_i = v(x + h sum_j a_ij k_j, t + c_i h), then x + h sum_i b_i k_i."""

    tableau: ClassVar[Tableau]

    def integrate(self, velocity: Velocity, x_0: Tensor, times: Tensor) -> Tensor:
        """Return `x_1` of the shape of `x_0` after one step between each two of `times`, `(steps + 1,)`."""
        x = x_0
        nodes = times.tolist()  # the only synchronisation with the device
        for t, t_next in pairwise(nodes):
            x = runge_kutta_step(velocity, x, t, t_next, self.tableau)
        return x


def runge_kutta_step(velocity: Velocity, x: Tensor, t: float, t_next: float, tableau: Tableau) -> Tensor:
    """Return the state at `t_next` from `x` `(batch, *shape)` at `t`, with one velocity a stage; `x` stays as it is."""
    h = t_next - t
    stages: list[Tensor] = []
    for c, row in zip(tableau.c, tableau.a, strict=True):
        # t + (t_next - t) may miss t_next by a rounding error, and so leave [0, 1].
        t_stage = t_next if c == 1 else t + c * h
        stages.append(velocity(_combine(x, row, stages, h), x.new_full((x.shape[0],), t_stage)))
    return _combine(x, tableau.b, stages, h)


def _combine(x: Tensor, weights: tuple[float, ...], stages: list[Tensor], h: float) -> Tensor:
    """Return x + h sum_i weights_i stages_i with one new tensor; zero weights cost nothing."""
    total = x
    for weight, stage in zip(weights, stages, strict=True):
        if weight != 0:
            total = torch.add(x, stage, alpha=weight * h) if total is x else total.add_(stage, alpha=weight * h)
    return total
