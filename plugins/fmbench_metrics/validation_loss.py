"""The loss on held-out data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fmbench import Metric
from fmbench_metrics.validation import draws, reference, validation_losses

if TYPE_CHECKING:
    from fmbench import Evidence


class ValidationLoss(Metric):
    """The objective's loss on the test split, under uniform t, fixed noise and the averaged weights.

    The test split is gone through as often as 4,096 draws need; t is stratified over them. Because t is uniform
    whatever the training drew, values are comparable between t-distributions of one path and objective. They are
    *not* comparable between paths, couplings or objectives, whose targets differ.
    """

    reference = "fmbench's docs/measurements.md, Losses"
    scope = "training"
    within = ("path", "coupling", "objective")

    def compute(self, evidence: Evidence) -> Mapping[str, float]:
        """Return the mean loss."""
        _, losses = validation_losses(evidence)
        return {"validation_loss": float(losses.double().mean())}

    def identity(self, evidence: Evidence) -> Mapping[str, Any]:
        """Return the held-out set, the number of draws, and whether the loss is that given the labels."""
        facts = {"draws": draws(evidence.real("test")[0]), "labels": evidence.is_conditional}
        return {**reference(evidence), **facts}
