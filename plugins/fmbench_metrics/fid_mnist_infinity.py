"""FID-infinity for grey pictures of 28x28, by a small extractor trained on mnist."""

from __future__ import annotations

from fmbench_metrics.feature_metric import OnMnist
from fmbench_metrics.frechet_infinity import FrechetInfinity


class FIDMnistInfinity(OnMnist, FrechetInfinity):
    """FID-infinity of 1x28x28 pictures with 32 features of a LeNet trained on mnist."""

    minimum_samples = 256  # 4 blocks of 2 for each feature
    value_name = "fid_mnist_infinity"
