"""The three-component Gaussian mixture of the tutorials."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge

from fmbench import Mixture
from fmbench_datasets.points import MixturePoints

WEIGHTS = (0.3, 0.5, 0.2)
MEANS = ((-2.0, -1.0), (1.0, 3.0), (4.0, -2.0))
COVARIANCES = (((0.5, 0.1), (0.1, 0.4)), ((0.6, -0.2), (-0.2, 0.5)), ((0.4, 0.0), (0.0, 0.6)))


class GaussianMixture(MixturePoints):
    """Three Gaussians in the plane, weights 0.3, 0.5 and 0.2, with the exact density; the class is the Gaussian.

    Args:
        size: training points; test and validation split have a quarter as many each.
    """

    reference = "fmbench's docs/measurements.md, Data in the plane"
    provides = ("points", "classes", "density", "mixture", "normal_source", "validation")
    classes = 3

    def __init__(self, *, size: Annotated[int, Ge(1)] = 20_000) -> None:
        super().__init__(size=size)
        self._mixture = Mixture(*(torch.tensor(a, dtype=torch.float64) for a in (WEIGHTS, MEANS, COVARIANCES)))
