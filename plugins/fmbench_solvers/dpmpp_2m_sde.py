"""DPM-Solver++(2M) of the stochastic equation of diffusion models, for flows."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge

from fmbench import Solver
from fmbench_solvers._diffusion import Node, extrapolated, nodes_of, predict_data, transfer
from fmbench_solvers._noise import add_noise

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench import Velocity


class DPMpp2MSDE(Solver):
    """x' = (sigma'/sigma) e^(-eta h) x + alpha' (1 - e^(-(1+eta)h)) X_2 + sigma' sqrt(1 - e^(-2 eta h)) z.

    X_2 = X + (X - X_prev)/(2r) with X the predicted data, h the step of ln(alpha/sigma), r = h_prev/h and z fresh
    noise: dpmpp_2m's step into the noise level sigma' e^(-eta h), and the noise that this lacks. At eta = 0 it is
    dpmpp_2m. Where that is of first order (X_2 = X: the first step, the second from pure noise, the last into the
    data), a step at eta = 1 is ancestral's. Whatever eta, the marginals are the flow's as the steps shrink, **for a
    standard normal source that is paired independently**: mean and deviation of a Gaussian's samples come out with
    dpmpp_2m's order, 2 with a logarithm where ln(alpha/sigma) is infinite, and ancestral's with 1. The last step is
    dpmpp_2m's and adds no noise: nothing would remove it.

    Args:
        eta: how much noise is drawn afresh, at least 0; 1 is the reverse of diffusion, 0 draws none.

    Source: Lu et al. 2022 (DPM-Solver++, arXiv:2211.01095), SDE-DPM-Solver++(2M), which has eta = 1; eta is that of
    `sample_dpmpp_2m_sde` in k-diffusion, with its solver_type "midpoint".
    """

    reference = "Lu et al. 2022, DPM-Solver++ (arXiv:2211.01095), SDE-DPM-Solver++(2M)"
    requires = ("gaussian", "normal_source", "independent")
    nfe_per_step = 1
    order = None

    def __init__(self, *, eta: Annotated[float, Ge(0)] = 1.0) -> None:
        self.eta = eta

    def integrate(self, velocity: Velocity, x_0: Tensor, times: Tensor) -> Tensor:
        """Return `x_1` of the shape of `x_0`; the noise of each step is drawn from `velocity.generator`."""
        x = x_0
        previous: tuple[Node, Tensor] | None = None
        nodes = nodes_of(velocity.path, times)
        for node, following in pairwise(nodes):
            last = following is nodes[-1]
            data = predict_data(velocity, x, node, following)
            ahead = extrapolated(data, node, following, previous, last=last)
            # eta h, written so that eta = 0 is 0 from pure noise too, where h is infinite
            eta_h = 0.0 if last or not self.eta else self.eta * (following.log_ratio - node.log_ratio)
            x = transfer(x, ahead, node, replace(following, sigma=following.sigma * math.exp(-eta_h)))
            if eta_h:
                x = add_noise(x, following.sigma * math.sqrt(-math.expm1(-2 * eta_h)), velocity)
            previous = node, data
        return x
