"""The path of torchcfm's SchrodingerBridgeConditionalFlowMatcher: Brownian bridges between source and data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import torch
from annotated_types import Gt, Lt

from fmbench import Path, PathSample, expand

if TYPE_CHECKING:
    from torch import Generator, Tensor


class SchrodingerBridge(Path):
    """x_t = t x_1 + (1-t) x_0 + sigma sqrt(t(1-t)) epsilon: a Brownian bridge, and its probability-flow velocity.

    dx_t = (1-2t)/(2t(1-t)) (x_t - mu_t) + x_1 - x_0 with mu_t = t x_1 + (1-t) x_0, which is
    sigma (1-2t)/(2 sqrt(t(1-t))) epsilon + x_1 - x_0. It grows as the inverse root of the distance to either end, and
    E|dx_t|^2 has no bound: closer to an end than `clip`, the factor of epsilon is the one at that distance. x_t itself
    is not clipped, so it starts at the source and ends at the data. Not affine: x_t depends on a third draw, epsilon.

    It is the marginal of a Schrodinger bridge where the pairs come from an entropic plan with regularisation
    2 sigma^2; other couplings are as good a path, but no bridge.

    Args:
        sigma: diffusion rate of the bridge, above 0; the noise is widest at t=1/2, with standard deviation sigma/2.
        clip: how far from t=0 and t=1 the velocity's noise stops growing, in time; above 0.

    Source: Tong et al. 2024 (arXiv:2302.00482), eqs. 20 and 21; `torchcfm.SchrodingerBridgeConditionalFlowMatcher`.
    """

    provides = ("gaussian",)
    reference = "Tong et al. 2024, Minibatch Optimal Transport (arXiv:2302.00482), eqs. 20-21"

    def __init__(self, *, sigma: Annotated[float, Gt(0)] = 1.0, clip: Annotated[float, Gt(0), Lt(0.5)] = 1e-4) -> None:
        self.sigma = sigma
        self.clip = clip

    def sample(self, x_0: Tensor, x_1: Tensor, t: Tensor, generator: Generator) -> PathSample:
        """Draw `epsilon` from the generator and return `x_t` and `dx_t` of the shape of `x_0`."""
        epsilon = torch.randn(x_0.shape, generator=generator, device=x_0.device, dtype=x_0.dtype)
        kept = t.clamp(min=self.clip, max=1 - self.clip)
        width = expand(self.sigma * torch.sqrt(t * (1 - t)), x_0)
        d_width = expand(self.sigma * (1 - 2 * kept) / (2 * torch.sqrt(kept * (1 - kept))), x_0)
        straight = x_1 - x_0
        x_t = expand(t, x_0) * x_1 + expand(1 - t, x_0) * x_0 + width * epsilon
        return PathSample(x_0, x_1, t, x_t, straight + d_width * epsilon, epsilon=epsilon)

    def gaussian(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return t, sqrt((1-t)(1-t + sigma^2 t)) and their derivatives, the last one that at `clip` near t=1."""
        kept = t.clamp(max=1 - self.clip)
        slope = (2 * (kept - 1) + self.sigma**2 * (1 - 2 * kept)) / (2 * self._deviation(kept))
        return t, self._deviation(t), torch.ones_like(t), slope

    def _deviation(self, t: Tensor) -> Tensor:
        return torch.sqrt((1 - t) * (1 - t + self.sigma**2 * t))
