"""FID: the Fréchet distance between the features of samples and of real data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from fmbench_metrics.frechet import FrechetMetric
from fmbench_metrics.gaussians import frechet_distance

if TYPE_CHECKING:
    from fmbench import Evidence


class FID(FrechetMetric):
    """FID: |mu_1 - mu_2|^2 + tr(S_1 + S_2 - 2 (S_1 S_2)^(1/2)), of the means and covariances of features.

    Means and covariances are in float64. The trace of the root is found from the eigenvalues of a symmetric matrix, in
    place of those of S_1 S_2 itself, which torch-fidelity takes: the two agree to what rounding leaves of the latter.
    A covariance of d features needs more than d samples; published values take 50,000 of 2,048.

    `fd_dinov2` is the same distance between features of DINOv2 (Stein et al. 2023, arXiv:2306.04675), which agree more
    with what people see. Its published values take 50,000 samples, too.
    """

    provides = ("samples_only", "bias_over_n")
    reference = "Heusel et al. 2017, eq. 6; torch-fidelity's fid_statistics_to_metric"
    registered_name = "fid"
    minimum_samples = 2049  # one more than the features, or the covariance is singular
    by_parameter: ClassVar[Mapping[str, Any]] = {
        "extractor": {
            "digits": {"minimum_samples": 33},
            "mnist": {"minimum_samples": 33},
            "dinov2": {"minimum_samples": 1025},
            "clip": {"minimum_samples": 769},
        },
        "reference": {
            "train": {},
            "test": {},
            ...: {
                "content": ("weights", "reference"),
                "provides": ("samples_only", "bias_over_n", "own_reference"),
            },
        },
    }

    def compute(self, evidence: Evidence) -> Mapping[str, float]:
        """Return the distance. Raises DataError where the extractor cannot judge the pictures."""
        samples, target = self.samples_and_target(evidence)
        return {self.registered_name: frechet_distance(samples, target)}
