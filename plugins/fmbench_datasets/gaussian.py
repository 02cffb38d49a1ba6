"""One correlated Gaussian."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge

from fmbench import Mixture
from fmbench_datasets.points import MixturePoints

Pair = tuple[float, float]


class Gaussian(MixturePoints):
    """One correlated Gaussian in the plane, at (2, 2) unless told otherwise, with the exact density.

    By default both coordinates have variance 1 and their correlation is 0.8, which is fmbench's choice.

    Args:
        mean: the centre.
        covariance: its two rows; symmetric and positive definite.
        size: training points; test and validation split have a quarter as many each.
    """

    reference = "fmbench's docs/measurements.md, Data in the plane"
    provides = ("points", "density", "mixture", "normal_source", "validation")

    def __init__(
        self,
        *,
        mean: Pair = (2.0, 2.0),
        covariance: tuple[Pair, Pair] = ((1.0, 0.8), (0.8, 1.0)),
        size: Annotated[int, Ge(1)] = 20_000,
    ) -> None:
        super().__init__(size=size)
        (a, b), (c, d) = covariance
        if b != c or a <= 0 or a * d <= b * c:
            raise ValueError(
                "covariance must be symmetric and positive definite, [[a, b], [b, d]] with a > 0 and a d > b^2; "
                f"found [[{a:g}, {b:g}], [{c:g}, {d:g}]]. Uncorrelated coordinates have b = 0."
            )
        one, means, covariances = ([1.0], [mean], [covariance])
        self._mixture = Mixture(*(torch.tensor(each, dtype=torch.float64) for each in (one, means, covariances)))
