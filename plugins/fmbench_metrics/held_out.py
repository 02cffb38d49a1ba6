"""What the distances between samples and held-out data share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fmbench import DataError, Metric
from fmbench_metrics.memory import sets_identity

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench import Evidence


class HeldOutDistance(Metric):
    """A distance between the samples and the test split."""

    minimum_samples = 2
    provides = ("samples_only",)

    def sets(self, evidence: Evidence) -> tuple[Tensor, Tensor]:
        """Return the samples and the test split. Raises DataError where the evidence has no samples."""
        if evidence.samples is None:
            raise DataError(f"{type(self).__name__} judges samples; this evidence has none.")
        return evidence.samples, evidence.real("test")[0]

    def identity(self, evidence: Evidence) -> Mapping[str, Any]:
        """Return reference set and sample count."""
        return sets_identity(evidence, "test")
