"""FID: the Fréchet distance between the features of samples and of real data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from fmbench_metrics.feature_metric import FeatureMetric
from fmbench_metrics.gaussians import Target, frechet_distance

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench import Evidence
    from fmbench_metrics.features import Reference


class FID(FeatureMetric):
    """FID: |mu_1 - mu_2|^2 + tr(S_1 + S_2 - 2 (S_1 S_2)^(1/2)), of the means and covariances of features.

    Means and covariances are in float64. The trace of the root is found from the eigenvalues of a symmetric matrix, in
    place of those of S_1 S_2 itself, which torch-fidelity takes: the two agree to what rounding leaves of the latter.
    A covariance of d features needs more than d samples; published values take 50,000 of 2,048.
    """

    provides = ("samples_only", "bias_over_n")
    reference = "Heusel et al. 2017, eq. 6; torch-fidelity's fid_statistics_to_metric"
    registered_name = "fid"
    minimum_samples = 2049  # one more than the features, or the covariance is singular
    by_parameter: ClassVar[Mapping[str, Any]] = {
        "extractor": {"digits": {"minimum_samples": 33}, "mnist": {"minimum_samples": 33}}
    }

    def compute(self, evidence: Evidence) -> Mapping[str, float]:
        """Return the distance. Raises DataError where the extractor cannot judge the pictures."""
        samples, reference = self.features(evidence)
        return {self.registered_name: frechet_distance(samples.features, target_of(reference))}


def target_of(reference: Reference) -> Target:
    """Return the Gaussian of a reference set's features, made once for all that compare with it."""
    n, d = reference.features.shape
    found = reference.statistic("gaussian 1", n * d**2 + d**3, _gaussian)
    return Target(found["mean"], found["factor"])


def _gaussian(features: Tensor) -> dict[str, Tensor]:
    target = Target.of(features)
    return {"mean": target.mean, "factor": target.factor}
