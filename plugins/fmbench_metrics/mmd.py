"""The kernel distance (MMD^2) between samples and held-out data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from fmbench import DataError
from fmbench_metrics.held_out import HeldOutDistance
from fmbench_metrics.memory import cached_on
from fmbench_metrics.pairwise import mean_between, mean_within, squared_distances

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench import Evidence

MULTIPLIERS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""The kernel's bandwidths, in medians."""
MEDIAN_POINTS = 2000
"""The most points between which the median distance is taken."""


class MMD(HeldOutDistance):
    """Squared maximum mean discrepancy to the test split, unbiased, with a mean of five Gaussian kernels.

    k(x, y) is the mean over s of exp(-|x - y|^2 / (2 s^2)), where s is 1/4, 1/2, 1, 2 and 4 times the median distance
    between points of the test split (of at most 2,000, evenly taken). The samples have no part in the bandwidths, so
    values for one reference set are comparable; the bandwidths are in the score's identity. The value is nought in
    expectation where the distributions are equal, and then some values fall below it.
    """

    reference = "Gretton et al. 2012, eq. 3; the median heuristic of its section 8"

    def compute(self, evidence: Evidence) -> Mapping[str, float]:
        """Return the squared discrepancy. Raises DataError where the median distance of the test split is nought."""
        samples, real = self.sets(evidence)
        kernel = partial(mean_of_gaussians, bandwidths=bandwidths(real))
        within: float = cached_on(real, "mean kernel", lambda: mean_within(kernel, real.flatten(1)))
        between = mean_between(kernel, samples.flatten(1), real.flatten(1))
        return {"mmd": mean_within(kernel, samples.flatten(1)) + within - 2 * between}

    def identity(self, evidence: Evidence) -> Mapping[str, Any]:
        """Return reference set, sample count and bandwidths."""
        return {**super().identity(evidence), "bandwidths": list(bandwidths(evidence.real("test")[0]))}


def bandwidths(real: Tensor) -> Sequence[float]:
    """Return the bandwidths for a reference set `(m, *shape)`. Raises DataError where its median distance is nought."""
    median: float = cached_on(real, "median distance", lambda: _median_distance(real.flatten(1)))
    if median == 0:
        raise DataError("mmd takes its bandwidth from the median distance in the test split, and most points coincide.")
    return [multiplier * median for multiplier in MULTIPLIERS]


def mean_of_gaussians(squared: Tensor, bandwidths: Sequence[float]) -> Tensor:
    """Return the mean of Gaussian kernels of some bandwidths, at squared distances of any shape."""
    total = torch.zeros_like(squared)
    for bandwidth in bandwidths:
        total += torch.exp(squared / (-2 * bandwidth**2))
    return total / len(bandwidths)


def _median_distance(x: Tensor) -> float:
    step = -(-len(x) // MEDIAN_POINTS)
    some = x[::step]
    rows, columns = torch.triu_indices(len(some), len(some), offset=1, device=x.device)
    return float(squared_distances(some, some)[rows, columns].median().sqrt())
