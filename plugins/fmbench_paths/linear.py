"""The linear path: straight lines from noise to data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from fmbench import AffinePath, PathSample, expand

if TYPE_CHECKING:
    from torch import Generator, Tensor


class Linear(AffinePath):
    """x_t = t x_1 + (1-t) x_0, the conditional optimal-transport path; its velocity x_1 - x_0 does not depend on t.

    Source: Liu et al. 2022 (rectified flow, arXiv:2209.03003), eq. 1; Lipman et al. 2024 (arXiv:2412.06264), eq. 2.3.
    """

    reference = "Liu et al. 2022, Flow Straight and Fast (arXiv:2209.03003), eq. 1"
    provides = ("affine", "gaussian", "straight")

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return `alpha_t = t`, `sigma_t = 1 - t`, `d_alpha_t = 1`, `d_sigma_t = -1`, each of the shape of `t`."""
        one = torch.ones_like(t)
        return t, one - t, one, -one

    def sample(self, x_0: Tensor, x_1: Tensor, t: Tensor, generator: Generator) -> PathSample:
        """Return what the coefficients give, to the same bits, without the multiplications by 1 and -1.

        `x_0` and `x_1` are `(batch, *shape)`, `t` `(batch,)`.
        """
        t_ = expand(t, x_1)
        return PathSample(x_0, x_1, t, t_ * x_1 + (1 - t_) * x_0, x_1 - x_0)
