"""Precision: how many samples look like real pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from fmbench_metrics.manifold import NeighbourhoodShare, radii_of, share_inside

if TYPE_CHECKING:
    from fmbench import Evidence


class Precision(NeighbourhoodShare):
    """The share of samples that look like real pictures: that lie in the neighbourhood of these."""

    registered_name = "precision"

    def compute(self, evidence: Evidence) -> Mapping[str, float]:
        """Return the share. Raises DataError where a set has no third neighbour."""
        samples, reference = self.sets(evidence)
        return {self.registered_name: share_inside(samples, reference.features, radii_of(reference))}
