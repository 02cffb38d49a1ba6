"""Euler's method with ancestral noise, as pipelines of rectified flow take it."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Le

from fmbench import Solver
from fmbench_solvers._diffusion import nodes_of, predict_data, transfer
from fmbench_solvers._noise import add_noise

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench import Velocity


class EulerAncestralRF(Solver):
    """A step of Euler's beyond sigma', to sigma_d = sigma' (1 + eta (sigma'/sigma - 1)), and noise back to sigma'.

    With X the predicted data: x_d = (sigma_d/sigma) x + (1 - sigma_d/sigma) X, and then x' = k x_d + s z with fresh
    noise z, k = (1-sigma')/(1-sigma_d) and s^2 = sigma'^2 - (k sigma_d)^2. This is the linear path's alone, where
    alpha = 1 - sigma: k takes alpha_d to alpha', and the variances of kept and fresh noise sum to sigma'^2. At eta = 0
    it is Euler. Whatever eta, the marginals are the flow's as the steps shrink, **for a standard normal source that is
    paired independently**. The last step ends in X, since sigma' and with it sigma_d are 0.

    `ancestral` is another method on the same path: at eta = 1 it keeps sigma' e^-h of the noise, this one
    sigma'^2/sigma k, which is more.

    Args:
        eta: how far beyond sigma' a step goes, from 0 to 1; at 1, sigma_d is sigma'^2/sigma.

    Source: `sample_euler_ancestral_RF` of ComfyUI (comfy/k_diffusion/sampling.py), which takes it for "euler_ancestral"
    on rectified flows; written down in docs/measurements.md.
    """

    reference = "ComfyUI, sample_euler_ancestral_RF; fmbench's docs/measurements.md, A sampler that comes from no paper"
    requires = ("gaussian", "straight", "normal_source", "independent")
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
            if not self.eta or following is nodes[-1]:
                x = transfer(x, data, node, following)
                continue
            sigma_d = following.sigma * (1 + self.eta * (following.sigma / node.sigma - 1))
            x_d = transfer(x, data, node, replace(following, alpha=1 - sigma_d, sigma=sigma_d))
            k = following.alpha / (1 - sigma_d)
            fresh = math.sqrt(max(following.sigma**2 - (k * sigma_d) ** 2, 0.0))
            x = add_noise(x_d.mul_(k), fresh, velocity)
        return x
