"""DPM-Solver++(2M), the multistep solver of diffusion models, for flows."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch

from fmbench import Solver
from fmbench_solvers._diffusion import Node, nodes_of, predict_data, transfer

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench import Velocity


class DPMpp2M(Solver):
    """x' = (sigma'/sigma) x - alpha'(e^-h - 1) [X + (X - X_prev)/(2r)] with X the predicted data.

    One evaluation a step. lambda = ln(alpha/sigma), h = lambda' - lambda, r = h_prev/h. Where lambda is infinite,
    a step of first order is the limit or the rule: the first step, the second where the first left pure noise (1/r is
    0), and the last into pure data (1/r is infinite). First order is DDIM, and on the linear path Euler.

    The order is 2, with a logarithm: a step leaves an error of h^3 times derivatives of X by lambda. Towards an end
    where lambda is infinite and the grid's steps are of size 1/N, the j-th step from that end has h = 1/j and leaves
    N^-2/j, which sums to N^-2 ln N: measured slopes are still near 1.8 at N = 1000. Grids whose steps shrink faster
    there (beta), and paths that keep some noise and some data, have no logarithm. No end step of another kind could
    take it away, for every step between adds to it.

    Source: Lu et al. 2022 (DPM-Solver++, arXiv:2211.01095), algorithm 2.
    """

    reference = "Lu et al. 2022, DPM-Solver++ (arXiv:2211.01095), algorithm 2"
    requires = ("affine",)
    nfe_per_step = 1
    order = 2

    def integrate(self, velocity: Velocity, x_0: Tensor, times: Tensor) -> Tensor:
        """Return `x_1` of the shape of `x_0` after one step between each two of `times`, `(steps + 1,)`."""
        x = x_0
        previous: tuple[Node, Tensor] | None = None
        for node, following in pairwise(nodes_of(velocity.path, times)):
            data = predict_data(velocity, x, node, following)
            x = transfer(x, extrapolated(data, node, following, previous), node, following)
            previous = node, data
        return x


def extrapolated(data: Tensor, node: Node, following: Node, previous: tuple[Node, Tensor] | None) -> Tensor:
    """Return X + (X - X_prev)/(2r), or X where the step is of first order; `previous` is the last node and its X."""
    if previous is None or previous[0].alpha == 0 or following.sigma == 0:
        return data
    before, data_before = previous
    h, h_previous = following.log_ratio - node.log_ratio, node.log_ratio - before.log_ratio
    weight = h / (2 * h_previous)
    return torch.add(data * (1 + weight), data_before, alpha=-weight)
