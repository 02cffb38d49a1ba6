"""Points on a sine curve."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from fmbench_datasets.points import PlanePoints, uniform

if TYPE_CHECKING:
    from torch import Generator, Tensor


class Sine(PlanePoints):
    """Points exactly on y = sin x, with x uniform over [0, 4 pi]; the source is 2N(0, I).

    "2N(0, I)" is read as twice a standard normal: standard deviation 2 in each coordinate, variance 4.
    """

    reference = "fmbench's docs/measurements.md, Data in the plane"
    provides = ("points", "validation")

    def source(self, n: int, generator: Generator) -> Tensor:
        """Draw twice a standard normal, float32 `(n, 2)` on the generator's device."""
        return 2 * super().source(n, generator)

    def draw(self, n: int, generator: Generator, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
        """Draw fresh points `(n, 2)`, and zeros for labels."""
        x = 4 * math.pi * uniform(n, generator, dtype)
        return torch.stack([x, x.sin()], dim=1), torch.zeros_like(x, dtype=torch.int64)
