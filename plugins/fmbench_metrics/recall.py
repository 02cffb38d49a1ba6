"""Recall: how many real pictures samples come near."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from fmbench_metrics.manifold import NeighbourhoodShare, share_inside

if TYPE_CHECKING:
    from fmbench import Evidence


class Recall(NeighbourhoodShare):
    """The share of real pictures that samples come near: that lie in the neighbourhood of the samples."""

    registered_name = "recall"

    def compute(self, evidence: Evidence) -> Mapping[str, float]:
        """Return the share. Raises DataError where a set has no third neighbour."""
        samples, reference = self.sets(evidence)
        return {self.registered_name: share_inside(reference.features, samples)}
