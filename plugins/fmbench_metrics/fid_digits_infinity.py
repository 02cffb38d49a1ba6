"""FID-infinity for grey pictures of 8x8, by a small extractor trained on digits."""

from __future__ import annotations

from fmbench_metrics.feature_metric import OnDigits
from fmbench_metrics.frechet_infinity import FrechetInfinity


class FIDDigitsInfinity(OnDigits, FrechetInfinity):
    """FID-infinity of 1x8x8 pictures with 32 features of a LeNet trained on digits."""

    minimum_samples = 256  # 4 blocks of 2 for each feature
    value_name = "fid_digits_infinity"
