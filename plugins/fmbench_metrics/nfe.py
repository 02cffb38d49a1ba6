"""The number of function evaluations that a sample takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from fmbench import DataError, Metric

if TYPE_CHECKING:
    from fmbench import Evidence


class NFE(Metric):
    """Network calls a sample, as counted while they were drawn: every call of every network that guidance asks."""

    reference = "fmbench's docs/measurements.md, Costs"
    unit = "calls"

    def compute(self, evidence: Evidence) -> Mapping[str, float]:
        """Return the mean over samples. Raises DataError where nothing was counted."""
        if evidence.nfe is None:
            raise DataError("nfe counts the calls of a sampler; this evidence has none.")
        return {"nfe": float(evidence.nfe)}
