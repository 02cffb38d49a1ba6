"""The path of torchcfm's ConditionalFlowMatcher: linear, in a tube of constant width."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import torch
from annotated_types import Ge

from fmbench import Path, PathSample, expand

if TYPE_CHECKING:
    from torch import Generator, Tensor


class ICFM(Path):
    """x_t = t x_1 + (1-t) x_0 + sigma epsilon with velocity x_1 - x_0: Gaussian tubes around straight lines.

    The tube has the same width at both ends, so x_t is a noisy x_0 at t=0 and a noisy x_1 at t=1. Not affine: x_t
    depends on a third draw, epsilon. With `sigma=0`, torchcfm's default, this is the linear path.

    Args:
        sigma: standard deviation of the tube, at least 0.

    Source: Tong et al. 2024 (arXiv:2302.00482), eqs. 14 and 15; `torchcfm.ConditionalFlowMatcher`.
    """

    provides = ("gaussian",)
    reference = "Tong et al. 2024, Minibatch Optimal Transport (arXiv:2302.00482), eqs. 14-15"

    def __init__(self, *, sigma: Annotated[float, Ge(0)] = 0.1) -> None:
        self.sigma = sigma

    def sample(self, x_0: Tensor, x_1: Tensor, t: Tensor, generator: Generator) -> PathSample:
        """Draw `epsilon` from the generator, whatever sigma is, and return `x_t` and `dx_t` of the shape of `x_0`."""
        epsilon = torch.randn(x_0.shape, generator=generator, device=x_0.device, dtype=x_0.dtype)
        dx_t = x_1 - x_0
        x_t = torch.addcmul(x_0, expand(t, x_0), dx_t).add_(epsilon, alpha=self.sigma)
        return PathSample(x_0, x_1, t, x_t, dx_t, epsilon=epsilon)

    def gaussian(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return t, sqrt((1-t)^2 + sigma^2) and their derivatives; without a tube, as the linear path."""
        width = torch.sqrt((1 - t).square() + self.sigma**2)
        slope = (t - 1) / width if self.sigma else -torch.ones_like(t)
        return t, width, torch.ones_like(t), slope
