"""DDIM, the deterministic sampler of diffusion models, for flows."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from fmbench import Solver
from fmbench_solvers._diffusion import nodes_of, predict_data, transfer

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench import Velocity


class DDIM(Solver):
    """x' = alpha' x_1 + sigma' x_0 with both ends as they are predicted at t: first order, one evaluation a step.

    The predictions come from the velocity and the path's coefficients; for a network that predicts the noise they are
    its own. Since alpha x_1 + sigma x_0 = x, the step is (sigma'/sigma) x + (alpha' - alpha sigma'/sigma) x_1, written
    so because it needs no division where alpha is 0. On the linear path it is Euler's.

    Source: Song et al. 2021 (DDIM, arXiv:2010.02502), eq. 12 with its sigma_t = 0.
    """

    reference = "Song et al. 2021, Denoising Diffusion Implicit Models (arXiv:2010.02502), eq. 12"
    requires = ("affine",)
    nfe_per_step = 1
    order = 1

    def integrate(self, velocity: Velocity, x_0: Tensor, times: Tensor) -> Tensor:
        """Return `x_1` of the shape of `x_0` after one step between each two of `times`, `(steps + 1,)`."""
        x = x_0
        for node, following in pairwise(nodes_of(velocity.path, times)):
            x = transfer(x, predict_data(velocity, x, node, following), node, following)
        return x
