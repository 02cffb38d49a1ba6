"""Euler-Maruyama on the stochastic equation with the flow's marginals."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated

import torch
from annotated_types import Ge

from fmbench import Solver
from fmbench_solvers._diffusion import nodes_of

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench import Velocity


class StochasticEuler(Solver):
    """dx = [v + w/2 score] dt + sqrt(w) dW with w = diffusion sigma_t: the marginals of dx = v dt, by other roads.

    The score is -E[x_0 | x_t]/sigma_t, and x_0 comes from the velocity and the path's coefficients; w takes the
    division away, so that the drift v - diffusion/2 E[x_0 | x_t] is finite at both ends. **This holds for a standard
    normal source that is paired independently**; for others the score is another. The last step adds no noise:
    nothing would remove it.

    Args:
        diffusion: how much noise is added and removed, at least 0; 0 is Euler.

    Source: Ma et al. 2024 (SiT, arXiv:2401.08740), eqs. 4 and 9 with w_t = sigma_t; Albergo et al. 2023
    (arXiv:2303.08797), section 2.4.
    """

    reference = "Ma et al. 2024, SiT (arXiv:2401.08740), eq. 4 with w_t = sigma_t"
    requires = ("gaussian", "normal_source", "independent")
    nfe_per_step = 1
    order = None

    def __init__(self, *, diffusion: Annotated[float, Ge(0)] = 1.0) -> None:
        self.diffusion = diffusion

    def integrate(self, velocity: Velocity, x_0: Tensor, times: Tensor) -> Tensor:
        """Return `x_1` of the shape of `x_0`; the noise of each step is drawn from `velocity.generator`."""
        x = x_0
        nodes = nodes_of(velocity.path, times)
        for node, following in pairwise(nodes):
            h = following.t - node.t
            v = velocity(x, x.new_full((x.shape[0],), node.t))
            drift = torch.sub(v, node.noise(x, v), alpha=self.diffusion / 2)
            x = torch.add(x, drift, alpha=h)
            if following is not nodes[-1]:
                noise = torch.randn(x.shape, generator=velocity.generator, device=x.device, dtype=x.dtype)
                x = x.add_(noise, alpha=math.sqrt(self.diffusion * node.sigma * h))
        return x
