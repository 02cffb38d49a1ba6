"""What the distances between samples and held-out data share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fmbench import DataError, Metric
from fmbench_metrics.memory import cached_on, content_hash

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
        real = evidence.real("test")[0]
        return {
            "reference": cached_on(real, "content", lambda: content_hash(real)),
            "reference_split": "test",
            "reference_n": len(real),
            "samples_n": 0 if evidence.samples is None else len(evidence.samples),
        }
