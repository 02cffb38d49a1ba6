"""The loss on held-out data, by t."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fmbench import Metric
from fmbench_metrics.validation import draws, reference, validation_losses

if TYPE_CHECKING:
    from fmbench import Evidence

BINS = 10


class LossByT(Metric):
    """The validation loss in ten bins of t: where along the path the network is right, and where it is wrong.

    `loss_by_t_0` is the mean over t in [0, 0.1), ..., `loss_by_t_9` over [0.9, 1]; `loss_by_t` is the mean over all
    draws, the validation loss itself. The draws are those of the validation loss, and comparable as it is: between
    t-distributions of one path and objective.
    """

    reference = "fmbench's docs/measurements.md, Losses"
    scope = "training"
    within = ("path", "coupling", "objective")
    over = "t"

    def compute(self, evidence: Evidence) -> Mapping[str, float]:
        """Return the mean loss, and that of each bin."""
        t, losses = validation_losses(evidence)
        losses = losses.double()
        bins = (t * BINS).long().clamp(max=BINS - 1)
        means = [losses[bins == number].mean() for number in range(BINS)]
        of_bins = {f"loss_by_t_{number}": float(mean) for number, mean in enumerate(means)}
        return {"loss_by_t": float(losses.mean()), **of_bins}

    def identity(self, evidence: Evidence) -> Mapping[str, Any]:
        """Return the held-out set, the number of draws, and whether the loss is that given the labels."""
        facts = {"draws": draws(evidence.real("test")[0]), "labels": evidence.is_conditional, "bins": BINS}
        return {**reference(evidence), **facts}
