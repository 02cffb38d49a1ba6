"""UniPC of second order, a predictor and corrector for diffusion models, for flows."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

from fmbench import Solver
from fmbench_solvers._diffusion import Node, extrapolated, nodes_of, predict_data, transfer

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench import Velocity


class UniPC(Solver):
    """UniPC-2 with data prediction and B(h) = e^h - 1: a predictor, which is DPM-Solver++(2M), and a corrector.

    The evaluation at a predicted state serves twice: it corrects the step that led there, and predicts the next; the
    network is not asked again at the corrected state, so a step costs one evaluation. The step into the data has no
    corrector, which would cost one more. Where lambda is infinite, or nearly so at the data, steps are of first order
    as in dpmpp_2m, and so is their corrector, the mean of both predictions.

    The order is 2, from the ends alone: there a step leaves N^-2/j^2, j steps from the end (see dpmpp_2m), and the step
    into the data another N^-2. Between them it is 3, and so it is as a whole on grids whose steps shrink faster towards
    the ends (beta), and on paths that keep some noise and some data.

    Few steps: with the exact velocity of a mixture this ends up to 1.7 times as far from the exact flow as Euler does
    at 2 to 4 equal steps on the cosine path, and up to 1.3 times at 2 on linear_vp and at 2 and 3 on vp (see dpmpp_2m);
    elsewhere, and from 5 steps on, never further.

    Source: Zhao et al. 2023 (UniPC, arXiv:2302.04867), algorithms 5 to 7 and eq. 9, with p = 2 and B_2.
    """

    reference = "Zhao et al. 2023, UniPC (arXiv:2302.04867), algorithms 5-7, B_2"
    requires = ("affine",)
    nfe_per_step = 1
    order = 2

    def integrate(self, velocity: Velocity, x_0: Tensor, times: Tensor) -> Tensor:
        """Return `x_1` of the shape of `x_0` after one step between each two of `times`, `(steps + 1,)`."""
        x, predicted = x_0, x_0
        last: tuple[Node, Tensor] | None = None
        before_last: tuple[Node, Tensor] | None = None
        nodes = nodes_of(velocity.path, times)
        for node, following in pairwise(nodes):
            data = predict_data(velocity, predicted, node, following)
            if last is not None:
                x = transfer(x, _corrected(data, node, last, before_last), last[0], node)
            before_last, last = last, (node, data)
            ahead = extrapolated(data, node, following, before_last, last=following is nodes[-1])
            predicted = transfer(x, ahead, node, following)
        return predicted


def _corrected(data: Tensor, node: Node, last: tuple[Node, Tensor], before_last: tuple[Node, Tensor] | None) -> Tensor:
    """Return the data prediction that the corrector takes for the step from `last` to `node`, where it was `data`."""
    start, data_start = last
    if before_last is None or before_last[0].alpha == 0:
        return (data_start + data) / 2
    # The two rho of UniC-2: rho_1 + rho_2 = b_1 and r rho_1 + rho_2 = b_2, with z = -h for data prediction.
    before, data_before = before_last
    z = start.log_ratio - node.log_ratio
    r = (start.log_ratio - before.log_ratio) / z
    phi = math.expm1(z)
    b_1 = (phi / z - 1) / phi
    b_2 = 2 * ((phi / z - 1) / z - 0.5) / phi
    rho_1 = (b_1 - b_2) / (1 - r)
    rho_2 = b_1 - rho_1
    return data_start + (data_before - data_start) * (rho_1 / r) + (data - data_start) * rho_2
