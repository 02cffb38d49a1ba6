"""Eight Gaussians on a circle."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from annotated_types import Ge

from fmbench import Mixture
from fmbench_datasets.points import MixturePoints

RADIUS = 5.0
VARIANCE = math.sqrt(0.1)


class EightGaussians(MixturePoints):
    """Eight equal Gaussians on a circle of radius 5, as torchcfm's `sample_8gaussians` draws them, with their density.

    The class of a point is its Gaussian, counted anticlockwise from the right. torchcfm calls its parameter `var=0.1`
    but passes `sqrt(var) * I` as the covariance, so the variance of the points is 0.316 (standard deviation 0.562) and
    not 0.1. Published numbers rest on those points; so do these.

    Args:
        size: training points; test and validation split have a quarter as many each.
    """

    reference = "torchcfm.utils.sample_8gaussians (Tong et al. 2023)"
    provides = ("points", "classes", "density", "mixture", "normal_source", "validation")
    classes = 8

    def __init__(self, *, size: Annotated[int, Ge(1)] = 20_000) -> None:
        super().__init__(size=size)
        angles = torch.arange(8, dtype=torch.float64) * (math.pi / 4)
        means = RADIUS * torch.stack([angles.cos(), angles.sin()], dim=1)
        covariances = (VARIANCE * torch.eye(2, dtype=torch.float64)).expand(8, 2, 2)
        self._mixture = Mixture(torch.full((8,), 1 / 8, dtype=torch.float64), means, covariances)
