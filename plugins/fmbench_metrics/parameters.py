"""The size of the network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from fmbench import Metric

if TYPE_CHECKING:
    from fmbench import Evidence


class Parameters(Metric):
    """Number of the network's parameters."""

    reference = "fmbench's docs/measurements.md, Costs"
    scope = "training"

    def compute(self, evidence: Evidence) -> Mapping[str, float]:
        """Return the count."""
        return {"parameters": float(evidence.training.parameters)}
