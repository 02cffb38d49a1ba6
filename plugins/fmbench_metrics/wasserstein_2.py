"""The 2-Wasserstein distance between samples and held-out data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import torch
from annotated_types import Ge

from fmbench_metrics.held_out import HeldOutDistance
from fmbench_metrics.pairwise import squared_distances

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench import Evidence

MOST_PIVOTS = 10**9
"""POT's own bound, 100,000, ends before the optimum with 2,000 points in 64 dimensions."""


class Wasserstein2(HeldOutDistance):
    """Exact 2-Wasserstein distance to the test split, in the data's own units.

    The root of the least mean squared Euclidean distance at which the points of one set can be moved onto the other's.
    Sets may differ in size. The time grows faster than the square of `points`, so not all need take part: those that do
    are drawn at random, the same for all cells of a seed. Between two finite sets of one distribution the distance is
    not nought, and it falls as `points` grows, slowly in high dimension.

    Args:
        points: the most samples, and the most test points, that take part.
    """

    reference = "Villani 2009, definition 6.1; POT's emd2"
    unit = "data units"

    def __init__(self, *, points: Annotated[int, Ge(2)] = 2000) -> None:
        self.points = points

    def compute(self, evidence: Evidence) -> Mapping[str, float]:
        """Return the distance."""
        generator = evidence.generator("wasserstein_points")
        samples, real = self.sets(evidence)
        # The reference first: its points must not depend on the number of samples.
        real, samples = (self._some(x, generator) for x in (real, samples))
        return {"wasserstein_2": wasserstein_2(samples.flatten(1), real.flatten(1))}

    def identity(self, evidence: Evidence) -> Mapping[str, Any]:
        """Return reference set, sample count, and the number of points that take part."""
        return {**super().identity(evidence), "points": self.points}

    def _some(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Return `points` rows of `x` at random; all of them where there are no more."""
        order = torch.randperm(len(x), generator=generator, device=generator.device)
        return x[order[: self.points].to(x.device)] if len(x) > self.points else x


@dataclass(frozen=True)
class Transport:
    """Optimal transport between two sets: its mean squared distance, and what each point has to do with that.

    `of_x` `(n,)` and `of_y` `(m,)`, float64, are the dual solution: the mean of one plus the mean of the other is the
    cost, and their variances say how much another draw of the points would change it (del Barrio and Loubes 2019,
    Central limit theorems for empirical transportation cost in general dimension, arXiv:1705.01299).
    """

    cost: float
    of_x: Tensor
    of_y: Tensor


def wasserstein_2(x: Tensor, y: Tensor) -> float:
    """Return the distance between `x` `(n, dim)` and `y` `(m, dim)`, each with equal weights.

    Raises RuntimeError where POT does not reach the optimum.
    """
    return math.sqrt(transport(x, y).cost)


def transport(x: Tensor, y: Tensor) -> Transport:
    """Return the optimal transport of `x` `(n, dim)` to `y` `(m, dim)`, each with equal weights.

    Raises RuntimeError where POT does not reach the optimum.
    """
    import ot

    cost, log = ot.emd2([], [], squared_distances(x, y).cpu().numpy(), numItermax=MOST_PIVOTS, log=True)
    if log["warning"] is not None:
        raise RuntimeError(f"POT did not find the optimal plan: {log['warning']}")
    of_x, of_y = (torch.as_tensor(log[name], dtype=torch.float64) for name in ("u", "v"))
    return Transport(float(cost), of_x, of_y)
