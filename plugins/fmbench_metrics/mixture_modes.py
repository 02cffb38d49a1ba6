"""Which mode of a mixture of Gaussians each sample is of: what mode_shares and missed_modes share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from fmbench import DataError, Metric
from fmbench_metrics.memory import content_hash

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench import Evidence, Mixture


class ModesMetric(Metric):
    """A score of samples by the modes of the data, which are a known mixture of Gaussians; its components are them."""

    requires = ("mixture",)
    provides = ("samples_only",)
    minimum_samples = 2

    def mixture(self, evidence: Evidence) -> Mixture:
        """Return the data's distribution. Raises DataError where it is not a known mixture."""
        mixture = evidence.dataset.mixture()
        if mixture is None:
            name = type(evidence.dataset).__name__
            raise DataError(f"{self.registered_name} needs data that are a known mixture of Gaussians; {name} is none.")
        return mixture

    def points(self, evidence: Evidence) -> Tensor:
        """Return the samples as float64 points `(n, dim)`. Raises DataError where the evidence has none."""
        if evidence.samples is None:
            raise DataError(f"{self.registered_name} judges samples; this evidence has none.")
        return evidence.samples.flatten(1).double()

    def identity(self, evidence: Evidence) -> Mapping[str, Any]:
        """Return the mixture and the sample count; real data are scored from the test split."""
        mixture = self.mixture(evidence)
        parts = (mixture.weights, mixture.means, mixture.covariances)
        return {
            "mixture": content_hash(torch.cat([part.flatten() for part in parts])),
            "reference_split": "train",
            "samples_n": 0 if evidence.samples is None else len(evidence.samples),
        }


def responsibilities(mixture: Mixture, x: Tensor) -> Tensor:
    """Return the probability of each component given `x` `(n, dim)`: `(k, n)`."""
    return mixture.posterior(x, x.new_ones(len(x)), x.new_zeros(len(x))).responsibilities
