"""The energy distance between samples and held-out data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch

from fmbench_metrics.held_out import HeldOutDistance
from fmbench_metrics.memory import cached_on
from fmbench_metrics.pairwise import mean_between, mean_within

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench import Evidence


class EnergyDistance(HeldOutDistance):
    """Energy distance to the test split, 2 E|X - Y| - E|X - X'| - E|Y - Y'|: the square, without a root over it.

    The means within a set are over pairs of different points (U-statistics), so the value is nought in expectation
    where the distributions are equal, and then some values fall below it. scipy.stats.energy_distance returns the root,
    with each point's distance to itself in the means.
    """

    reference = "Székely & Rizzo 2013; Rizzo & Székely 2016, eq. 1; by U-statistics"
    unit = "data units"

    def compute(self, evidence: Evidence) -> Mapping[str, float]:
        """Return the distance."""
        samples, real = self.sets(evidence)
        within: float = cached_on(real, "mean distance", lambda: mean_within(torch.sqrt, real.flatten(1)))
        return {"energy_distance": energy_distance(samples.flatten(1), real.flatten(1), within)}


def energy_distance(x: Tensor, y: Tensor, within: float) -> float:
    """Return the distance between `x` `(n, dim)` and `y` `(m, dim)`, whose own mean distance is `within`."""
    return 2 * mean_between(torch.sqrt, x, y) - mean_within(torch.sqrt, x) - within
