"""From one set of points to another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import torch
from annotated_types import Ge

from fmbench_datasets.checkerboard import Checkerboard
from fmbench_datasets.eight_gaussians import EightGaussians
from fmbench_datasets.gaussian import Gaussian
from fmbench_datasets.gaussian_mixture import GaussianMixture
from fmbench_datasets.moons import Moons
from fmbench_datasets.points import PlanePoints
from fmbench_datasets.s_curve import SCurve
from fmbench_datasets.sine import Sine

if TYPE_CHECKING:
    from torch import Generator, Tensor

Points = Literal["checkerboard", "eight_gaussians", "gaussian", "gaussian_mixture", "moons", "s_curve", "sine"]

POINTS: dict[str, type[PlanePoints]] = {
    "checkerboard": Checkerboard,
    "eight_gaussians": EightGaussians,
    "gaussian": Gaussian,
    "gaussian_mixture": GaussianMixture,
    "moons": Moons,
    "s_curve": SCurve,
    "sine": Sine,
}


class Transport(PlanePoints):
    """One distribution in the plane as the source of another: eight_gaussians to moons, say.

    Examples and classes are those of `data`; data without classes are one class. The source draws fresh points, never
    the same ones again, and has no labels: it is independent of the class.

    Args:
        source: the distribution at t=0.
        data: the distribution at t=1.
        size: training points; test and validation split have a quarter as many each.
    """

    reference = "Tong et al. 2023 (arXiv:2302.00482); Cheng and Schwing 2025 (arXiv:2503.10636) with the moon as class"
    provides = ("points", "classes", "validation")

    def __init__(
        self, *, source: Points = "eight_gaussians", data: Points = "moons", size: Annotated[int, Ge(1)] = 20_000
    ) -> None:
        super().__init__(size=size)
        self._source, self._data = POINTS[source](), POINTS[data]()
        self.classes = self._data.classes or 1

    def draw(self, n: int, generator: Generator, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
        """Draw fresh points of the data `(n, 2)` and their labels, int64 `(n,)`."""
        return self._data.draw(n, generator, dtype)

    def source(self, n: int, generator: Generator) -> Tensor:
        """Draw fresh points of the source, float32 `(n, 2)` on the generator's device."""
        return self._source.draw(n, generator, torch.float32)[0]
