"""Points around a curve in the shape of an S."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from fmbench_datasets.points import PlanePoints, uniform

if TYPE_CHECKING:
    from torch import Generator, Tensor

NOISE = 0.05
SCALE = 1.5


class SCurve(PlanePoints):
    """scikit-learn's S curve without its depth, with normal noise of deviation 0.05, times 1.5, as torchcfm trains on.

    It is what torchcfm's `scurve` experiments take: the first and third coordinates of `make_s_curve`. (torchcfm's
    pairs of distributions, after De Bortoli et al. 2021, take noise 0.1 and scale the points to a deviation of 7.)
    """

    reference = "torchcfm's runner, SKLearnDataModule 'scurve' (Tong et al. 2023); sklearn.datasets.make_s_curve"
    provides = ("points", "normal_source", "validation")

    def draw(self, n: int, generator: Generator, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
        """Draw fresh points `(n, 2)`, and zeros for labels."""
        angle = 3 * math.pi * (uniform(n, generator, dtype) - 0.5)
        noise = NOISE * torch.randn(n, 2, dtype=dtype, generator=generator, device=generator.device)
        curve = torch.stack([angle.sin(), angle.sign() * (angle.cos() - 1)], dim=1)
        return SCALE * (curve + noise), torch.zeros_like(angle, dtype=torch.int64)
