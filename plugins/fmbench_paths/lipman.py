"""Lipman's path: linear, with a little noise left at the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import torch
from annotated_types import Ge, Lt

from fmbench import AffinePath

if TYPE_CHECKING:
    from torch import Tensor


class Lipman(AffinePath):
    """x_t = t x_1 + (1 - (1-sigma_min) t) x_0: the optimal-transport path of the first flow-matching paper.

    At t=1 the noise x_0 is still there with weight `sigma_min`; with `sigma_min=0` this is the linear path.

    Args:
        sigma_min: standard deviation of the noise around each data point at t=1, in [0, 1).

    Source: Lipman et al. 2023 (arXiv:2210.02747), eqs. 20 to 23.
    """

    reference = "Lipman et al. 2023, Flow Matching for Generative Modeling (arXiv:2210.02747), eqs. 20-23"

    def __init__(self, *, sigma_min: Annotated[float, Ge(0), Lt(1)] = 1e-4) -> None:
        self.sigma_min = sigma_min

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return `t`, `1 - (1-sigma_min) t`, `1` and `-(1-sigma_min)`, each of the shape of `t`."""
        one = torch.ones_like(t)
        shrink = 1 - self.sigma_min
        return t, one - shrink * t, one, -shrink * one
