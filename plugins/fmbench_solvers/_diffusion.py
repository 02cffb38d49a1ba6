"""What the solvers of a diffusion form share: the affine path along the grid, and predictions from velocities.

With x = alpha x_1 + sigma x_0 and v = d_alpha x_1 + d_sigma x_0, a velocity holds a prediction of either end:
x_1 = (d_sigma x - sigma v)/D and x_0 = (alpha v - d_alpha x)/D with D = alpha d_sigma - d_alpha sigma (Lipman et al.
2024, arXiv:2412.06264, table 1).

lambda = ln(alpha/sigma) is infinite where alpha or sigma is 0. The steps are written so that both ends are plain cases:
alpha'(1 - e^-h) is alpha' - alpha sigma'/sigma, which stays finite.

Paths that keep a trace of noise at the data (lipman's sigma_min, 1e-4 say) have a finite lambda there, but the last
step is still a jump: its h is many times the one before, and what is extrapolated along lambda that far is worse than
what it starts from. `extrapolated` knows the jump by its size, so that a path goes over into the one without noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench import Path, Velocity


LARGEST_GROWTH = 1.75
"""How many times the step of lambda before it the last one may be, for the prediction of the data to be extrapolated.

Where sigma goes to 0 as a power of 1-t, and 1-t as a power of the number of steps that are left, steps of lambda grow
by at most ln 2 / ln 1.5 = 1.71 before the last and infinite one. More is the beginning of that jump.
"""


@dataclass(frozen=True)
class Node:
    """An affine path at one time."""

    t: float
    alpha: float
    sigma: float
    d_alpha: float
    d_sigma: float

    @property
    def log_ratio(self) -> float:
        """lambda = ln(alpha/sigma), half the log-SNR; minus infinity at pure noise, infinity at pure data."""
        if self.alpha == 0:
            return -math.inf
        return math.inf if self.sigma == 0 else math.log(self.alpha / self.sigma)

    @property
    def determinant(self) -> float:
        """D = alpha d_sigma - d_alpha sigma; 0 where the path stands still and its velocity says nothing."""
        return self.alpha * self.d_sigma - self.d_alpha * self.sigma

    def data(self, x: Tensor, v: Tensor) -> Tensor:
        """Return the prediction of x_1 from the velocity `v` at `x`, both `(batch, *shape)`."""
        return x * (self.d_sigma / self.determinant) - v * (self.sigma / self.determinant)

    def noise(self, x: Tensor, v: Tensor) -> Tensor:
        """Return the prediction of x_0 from the velocity `v` at `x`, both `(batch, *shape)`.

        At pure noise that is x/sigma, whatever v is.
        """
        if self.alpha == 0:
            return x / self.sigma
        return v * (self.alpha / self.determinant) - x * (self.d_alpha / self.determinant)


def nodes_of(path: Path, times: Tensor) -> list[Node]:
    """Return a path, as the affine one that it is to a normal source, at each of `times` `(n,)`, computed in float64.

    Raises TypeError for paths that are none.
    """
    if "gaussian" not in path.provides:
        raise TypeError(
            f'solvers of a diffusion form need a path that provides "gaussian"; found {type(path).__name__}'
        )
    t = times.double().cpu()
    columns = [t.tolist(), *(c.tolist() for c in path.gaussian(t))]
    return [Node(*values) for values in zip(*columns, strict=True)]


def predict_data(velocity: Velocity, x: Tensor, node: Node, following: Node) -> Tensor:
    """Return the prediction of x_1 at `node` by one evaluation.

    Where the path stands still (t^n with n > 1, at t=0) its velocity is 0 whatever the data; there the evaluation is
    made half a step later, at which x has moved by less than the square of the step.
    """
    if node.determinant == 0:
        middle = x.new_tensor([(node.t + following.t) / 2])
        node = nodes_of(velocity.path, middle)[0]
    return node.data(x, velocity(x, x.new_full((x.shape[0],), node.t)))


def extrapolated(
    data: Tensor, node: Node, following: Node, previous: tuple[Node, Tensor] | None, *, last: bool
) -> Tensor:
    """Return the prediction of x_1 for the step from `node`, extrapolated to its middle: X + (X - X_prev) h/(2h').

    `data` is X at `node`; `previous` is the node before it with its X_prev; h and h' are their steps of lambda. X
    itself is returned, and the step is of first order, where there is no such node, where it is at pure noise (h' is
    infinite), and where the `last` step is a jump, into pure data (h is infinite) or nearly so (see LARGEST_GROWTH).
    """
    if previous is None or previous[0].alpha == 0:
        return data
    before, data_before = previous
    growth = (following.log_ratio - node.log_ratio) / (node.log_ratio - before.log_ratio)
    if last and growth > LARGEST_GROWTH:
        return data
    return torch.add(data * (1 + growth / 2), data_before, alpha=-growth / 2)


def transfer(x: Tensor, data: Tensor, node: Node, following: Node) -> Tensor:
    """Return (sigma'/sigma) x + (alpha' - alpha sigma'/sigma) data: exact for a constant prediction of the data.

    `x`, `data` and the result are `(batch, *shape)`.
    """
    ratio = following.sigma / node.sigma
    return x * ratio + data * (following.alpha - node.alpha * ratio)
