"""Ancestral sampling, the stochastic sampler of diffusion models, for flows."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Le

from fmbench import Solver
from fmbench_solvers._diffusion import Node, nodes_of, predict_data, transfer
from fmbench_solvers._noise import add_noise

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench import Velocity


class Ancestral(Solver):
    """x' = alpha' x_1 + sqrt(sigma'^2 - s^2) x_0 + s z: both ends as they are predicted at t, and fresh noise z.

    s = eta sigma' sqrt(1 - e^-2h) with h the step of ln(alpha/sigma). At eta = 1 a step draws from the posterior of x'
    given x and the predicted x_1, which is DDPM's sampling; at eta = 0 it is DDIM. Between, part of the noise is kept.
    Whatever eta, the marginals are the flow's as the steps shrink, **for a standard normal source that is paired
    independently**; a single step underestimates the spread of the data, because it has one x_1 for all that could be.
    The last step is DDIM's and adds no noise: nothing would remove it.

    Args:
        eta: the part of the posterior's standard deviation that is drawn afresh, from 0 to 1.

    Source: Song et al. 2021 (DDIM, arXiv:2010.02502), eqs. 12 and 16, where sigma_t is s; Ho et al. 2020 (DDPM,
    arXiv:2006.11239), eq. 7 and algorithm 2. There alpha^2 + sigma^2 = 1; here the path is any affine one.
    """

    reference = "Song et al. 2021, DDIM (arXiv:2010.02502), eqs. 12 and 16; Ho et al. 2020, DDPM, algorithm 2"
    requires = ("gaussian", "normal_source", "independent")
    nfe_per_step = 1
    order = None

    def __init__(self, *, eta: Annotated[float, Ge(0), Le(1)] = 1.0) -> None:
        self.eta = eta

    def integrate(self, velocity: Velocity, x_0: Tensor, times: Tensor) -> Tensor:
        """Return `x_1` of the shape of `x_0`; the noise of each step is drawn from `velocity.generator`."""
        x = x_0
        nodes = nodes_of(velocity.path, times)
        for node, following in pairwise(nodes):
            data = predict_data(velocity, x, node, following)
            fresh = 0.0 if following is nodes[-1] else self.eta * _posterior_std(node, following)
            kept = math.sqrt(following.sigma**2 - fresh**2) if fresh else following.sigma
            x = transfer(x, data, node, replace(following, sigma=kept))
            if fresh:
                x = add_noise(x, fresh, velocity)
        return x


def _posterior_std(node: Node, following: Node) -> float:
    """Return the standard deviation of x' given x and x_1 where noise is added by a Markov chain."""
    return following.sigma * math.sqrt(-math.expm1(2 * (node.log_ratio - following.log_ratio)))
