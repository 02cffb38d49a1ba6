"""Euler-Maruyama on the stochastic equation with the flow's marginals."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Literal

import torch
from annotated_types import Ge, Len

from fmbench import Solver
from fmbench_solvers._diffusion import Node, nodes_of
from fmbench_solvers._noise import add_noise

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench import Velocity

Form = Literal["constant", "sbdm", "sigma", "linear", "decreasing", "increasing_decreasing"]
Factor = Annotated[float, Ge(0)]

OVER_SIGMA: Mapping[str, Callable[[Node], float]] = {
    "constant": lambda node: 1 / node.sigma,
    "sbdm": lambda node: -2 * node.determinant / node.alpha if node.alpha else 0.0,
    "sigma": lambda node: 1.0,
    "linear": lambda node: (1 - node.t) / node.sigma,
    "decreasing": lambda node: (math.cos(math.pi * node.t) + 1) ** 2 / 4 / node.sigma,
    "increasing_decreasing": lambda node: math.sin(math.pi * node.t) ** 2 / node.sigma,
}
"""w_t/sigma_t of each form, 0 for an infinite one."""


class StochasticEuler(Solver):
    """dx = [v + w/2 score] dt + sqrt(w) dW: the marginals of dx = v dt, by other roads, for every w_t >= 0.

    The score is -E[x_0 | x_t]/sigma_t, and x_0 comes from the velocity and the path's coefficients, so the drift is
    v - w/(2 sigma_t) E[x_0 | x_t]. With w = c sigma_t, the default, that is finite at both ends. **This holds for a
    standard normal source that is paired independently**; for others the score is another. The last step adds no noise:
    nothing would remove it.

    w_t is 1 (constant), 2 (sigma_t^2 d_alpha_t/alpha_t - sigma_t d_sigma_t) (sbdm, the noise of diffusion itself),
    sigma_t (sigma), 1 - t (linear), (1 + cos(pi t))^2/4 (decreasing) or sin^2(pi t) (increasing_decreasing). Where
    w/sigma_t is infinite a step is Euler's: sbdm's first from pure noise, and constant's last. Just before the data
    constant takes away more noise than there is: where these are single points, or lie on a surface, the states there
    run away from the path, and the more so the more steps there are. All other forms stay with it.

    SiT's code steps with half of w, dx = [v + D score] dt + sqrt(2 D) dW with D = w/2 from `compute_diffusion`. For
    SBDM that is half of the w_t here. For the others it returns the formulas above as D itself: its SDE, at its norm 1,
    is `{sigma: 2}` here.

    Args:
        diffusion: how much noise is added and removed: c of c sigma_t, at least 0, where 0 is Euler; or the name of
            another w_t, or one name with its factor, {constant: 0.5}.

    Source: Ma et al. 2024 (SiT, arXiv:2401.08740), eqs. 4 and 9, sbdm being its w_t^KL, and `compute_diffusion` of its
    code; Albergo et al. 2023 (arXiv:2303.08797), section 2.4.
    """

    reference = "Ma et al. 2024, SiT (arXiv:2401.08740), eq. 4; the forms of w_t: its code, compute_diffusion"
    requires = ("gaussian", "normal_source", "independent")
    nfe_per_step = 1
    order = None

    def __init__(self, *, diffusion: Factor | Form | Annotated[dict[Form, Factor], Len(1, 1)] = 1.0) -> None:
        self.diffusion = diffusion

    def integrate(self, velocity: Velocity, x_0: Tensor, times: Tensor) -> Tensor:
        """Return `x_1` of the shape of `x_0`; the noise of each step is drawn from `velocity.generator`."""
        x = x_0
        form, factor = self._form_and_factor()
        nodes = nodes_of(velocity.path, times)
        for node, following in pairwise(nodes):
            h = following.t - node.t
            last = following is nodes[-1]
            over_sigma = 0.0 if last and form == "constant" else factor * OVER_SIGMA[form](node)
            v = velocity(x, x.new_full((x.shape[0],), node.t))
            drift = torch.sub(v, node.noise(x, v), alpha=over_sigma / 2)
            x = torch.add(x, drift, alpha=h)
            if not last:
                x = add_noise(x, math.sqrt(over_sigma * node.sigma * h), velocity)
        return x

    def _form_and_factor(self) -> tuple[str, float]:
        if isinstance(self.diffusion, str):
            return self.diffusion, 1.0
        if isinstance(self.diffusion, dict):
            return next(iter(self.diffusion.items()))
        return "sigma", self.diffusion
