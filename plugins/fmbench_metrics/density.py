"""Density: how closely samples lie where real data lie."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from fmbench_metrics.real_balls import RealBalls

if TYPE_CHECKING:
    from fmbench import Evidence


class Density(RealBalls):
    """1/(k m) sum_j sum_i 1[sample j is in the ball of real example i], over m samples: fidelity, as precision is.

    A ball holds k real neighbours, so that samples of the data's own distribution have 1 in expectation, whatever that
    is and however many there are. It counts how many balls a sample is in where precision asks whether it is in one, so
    that a lone outlier among the real data with a ball that reaches far adds little. It has no upper end: samples that
    all lie where the data are thickest are above 1, and are no better for it.

    Source: Naeem et al. 2020 (arXiv:2002.09797), sections 3.2 and 3.3; their code, clovaai's prdc.
    """

    registered_name = "density"

    def compute(self, evidence: Evidence) -> Mapping[str, float]:
        """Return the density. Raises DataError where the real data are too few."""
        blocks, radii = self.distances(evidence)
        inside, samples = 0, 0
        for distances in blocks:
            inside += int((distances < radii).sum())
            samples += len(distances)
        return {self.registered_name: inside / (self.neighbours * samples)}
