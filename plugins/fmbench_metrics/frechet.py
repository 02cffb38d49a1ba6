"""The Fréchet distance between the features of samples and of real data, for any extractor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from fmbench_metrics.feature_metric import FeatureMetric

if TYPE_CHECKING:
    from fmbench import Evidence


class FrechetDistance(FeatureMetric):
    """FID with the extractor of a subclass: |mu_1 - mu_2|^2 + tr(S_1 + S_2 - 2 (S_1 S_2)^(1/2)) of the features.

    The distance itself is computed by torch-fidelity, from means and covariances in float64.
    """

    provides = ("samples_only", "bias_over_n")
    reference = "Heusel et al. 2017, eq. 6; torch-fidelity's fid_statistics_to_metric"

    def compute(self, evidence: Evidence) -> Mapping[str, float]:
        """Return the distance. Raises DataError where the extractor cannot judge the pictures."""
        from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_statistics_to_metric

        samples, reference = self.features(evidence)
        distance = fid_statistics_to_metric(samples.statistics, reference.statistics, verbose=False)
        return {self.value_name: float(distance[KEY_METRIC_FID])}
