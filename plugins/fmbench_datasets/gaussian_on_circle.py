"""A Gaussian whose mean goes round a circle with the condition."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import torch
from annotated_types import Ge, Gt

from fmbench_datasets.points import PlanePoints, uniform

if TYPE_CHECKING:
    from torch import Generator, Tensor


class GaussianOnCircle(PlanePoints):
    """Gaussians of one width, centred on a circle; the condition is the vector c = (cos a, sin a) of the angle a.

    Given c the points are N(radius c, deviation^2 I), which is what a sample of a conditional model is to be judged by.
    The angle is uniform, so all points together are a ring about the origin, whose density is exact, too.

    Args:
        radius: of the circle of means.
        deviation: standard deviation of each coordinate, given the condition.
        size: training points; test and validation split have a quarter as many each.
    """

    reference = "fmbench's docs/measurements.md, Data in the plane"
    provides = ("points", "vectors", "density", "normal_source", "validation")
    condition_width = 2

    def __init__(
        self,
        *,
        radius: Annotated[float, Gt(0)] = 4.0,
        deviation: Annotated[float, Gt(0)] = 0.5,
        size: Annotated[int, Ge(1)] = 20_000,
    ) -> None:
        super().__init__(size=size)
        self.radius = radius
        self.deviation = deviation

    def draw(self, n: int, generator: Generator, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
        """Draw fresh points `(n, 2)` and their conditions, float32 `(n, 2)`."""
        angle = 2 * math.pi * uniform(n, generator, dtype)
        c = torch.stack([angle.cos(), angle.sin()], dim=1)
        noise = torch.randn(n, 2, dtype=dtype, generator=generator, device=generator.device)
        return self.radius * c + self.deviation * noise, c.float()

    def log_density(self, x: Tensor) -> Tensor:
        """Return the exact log-density of the ring at `x` `(batch, 2)`, in nats.

        Averaged over the angle, exp(x.c radius/deviation^2) is a Bessel function I_0 of |x| radius/deviation^2.
        """
        r, variance = torch.linalg.vector_norm(x, dim=1), self.deviation**2
        scaled_bessel = torch.special.i0e(r * self.radius / variance)
        return scaled_bessel.log() - (r - self.radius).square() / (2 * variance) - math.log(2 * math.pi * variance)

    def log_density_given(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the exact log-density at `x` `(batch, 2)` given the conditions `y` `(batch, 2)`, in nats."""
        variance = self.deviation**2
        distances = (x - self.radius * y).square().sum(1)
        return -distances / (2 * variance) - math.log(2 * math.pi * variance)
