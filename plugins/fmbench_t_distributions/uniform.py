"""The uniform distribution of t."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from fmbench import TDistribution

if TYPE_CHECKING:
    from torch import Tensor


class Uniform(TDistribution):
    """Density 1 on [0, 1]: every time counts the same.

    Source: Lipman et al. 2023 (arXiv:2210.02747), eq. 9.
    """

    reference = "Lipman et al. 2023, Flow Matching for Generative Modeling (arXiv:2210.02747), eq. 9"

    def quantile(self, u: Tensor) -> Tensor:
        """Return `u` itself, of any shape."""
        return u

    def density(self, t: Tensor) -> Tensor:
        """Return ones of the shape and dtype of `t`."""
        return torch.ones_like(t)
