"""The sliced Wasserstein distance between samples and held-out data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
from annotated_types import Ge

from fmbench_metrics.held_out import HeldOutDistance
from fmbench_metrics.memory import cached_on

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench import Evidence


class SlicedWasserstein(HeldOutDistance):
    """Sliced 2-Wasserstein distance to the test split, in the data's own units.

    The root mean square, over fixed random directions, of the exact distance between the projections. Sets of different
    sizes are compared exactly too, by their quantile functions: nothing is resampled.

    Args:
        projections: number of directions, the same for all cells of a seed.
    """

    reference = "Bonneel et al. 2015, definition 5; POT's sliced_wasserstein_distance"
    unit = "data units"

    def __init__(self, *, projections: Annotated[int, Ge(1)] = 256) -> None:
        self.projections = projections

    def compute(self, evidence: Evidence) -> Mapping[str, float]:
        """Return the distance."""
        samples, real = self.sets(evidence)
        generator = evidence.generator("projections")
        seed = generator.initial_seed()
        directions = torch.randn(self.projections, real[0].numel(), generator=generator, device=generator.device)
        directions = torch.nn.functional.normalize(directions, dim=1)
        key = f"sorted projections {self.projections} {seed}"
        real_sorted = cached_on(real, key, lambda: sorted_projections(real, directions))
        squared = squared_distances(sorted_projections(samples, directions), real_sorted)
        return {"sliced_wasserstein": float(squared.mean().sqrt())}

    def identity(self, evidence: Evidence) -> Mapping[str, Any]:
        """Return reference set, sample count and directions."""
        return {**super().identity(evidence), "projections": self.projections}


def sorted_projections(x: Tensor, directions: Tensor) -> Tensor:
    """Return the sorted projections `(projections, n)` of `x` `(n, *shape)` on `directions` `(projections, dim)`."""
    projected = directions.to(x) @ x.flatten(1).T
    if projected.device.type != "cpu":
        return projected.sort(dim=1).values
    # numpy sorts with vector instructions, and without the indices that torch makes
    return torch.from_numpy(np.sort(projected.detach().numpy(), axis=1))


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """Return the squared 2-Wasserstein distance of each pair of sorted rows of `x` `(k, n)` and `y` `(k, m)`, `(k,)`.

    It is the integral over u in (0, 1) of the squared difference of the quantile functions, which are steps of width
    1/n and 1/m.
    """
    n, m = x.shape[1], y.shape[1]
    if n == m:
        return (x - y).square().mean(dim=1)
    # The ends of all steps, times n m, so that they are whole numbers.
    ends = torch.unique(torch.cat([torch.arange(1, n + 1) * m, torch.arange(1, m + 1) * n]))
    widths = torch.diff(ends, prepend=ends.new_zeros(1)).to(x.dtype) / (n * m)
    in_x, in_y = (((ends - 1) // size).to(x.device) for size in (m, n))
    difference = x.index_select(1, in_x).sub_(y.index_select(1, in_y))
    return difference.square_() @ widths.to(x.device)
