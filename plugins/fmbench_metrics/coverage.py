"""Coverage: how much of the real data samples come near."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch

from fmbench_metrics.real_balls import RealBalls

if TYPE_CHECKING:
    from fmbench import Evidence


class Coverage(RealBalls):
    """The share of real examples that have a sample in their ball: diversity, as recall is.

    For m samples of the data's own distribution and n real examples it is 1 - (n-1)...(n-k) / ((m+n-1)...(m+n-k)) in
    expectation, in any space: 0.969 for m = n and k = 5, and less where there are fewer samples than real examples. So
    values for different numbers of either are not to be compared.

    Source: Naeem et al. 2020 (arXiv:2002.09797), section 3.2 and lemma 2; their code, clovaai's prdc.
    """

    registered_name = "coverage"

    def compute(self, evidence: Evidence) -> Mapping[str, float]:
        """Return the share. Raises DataError where the real data are too few."""
        blocks, radii = self.distances(evidence)
        nearest = torch.full_like(radii, float("inf"))
        for distances in blocks:
            nearest = torch.minimum(nearest, distances.amin(0))
        return {self.registered_name: float((nearest < radii).double().mean())}
