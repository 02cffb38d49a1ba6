"""FID for grey pictures of 28x28, by a small extractor trained on mnist."""

from __future__ import annotations

from fmbench_metrics.feature_metric import OnMnist
from fmbench_metrics.frechet import FrechetDistance


class FIDMnist(OnMnist, FrechetDistance):
    """FID of 1x28x28 pictures with 32 features of a LeNet trained on mnist; not to be compared with published FIDs."""

    minimum_samples = 33  # one more than the features, or the covariance is singular
    value_name = "fid_mnist"
