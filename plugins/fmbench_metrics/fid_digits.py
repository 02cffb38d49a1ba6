"""FID for grey pictures of 8x8, by a small extractor trained on digits."""

from __future__ import annotations

from fmbench_metrics.feature_metric import OnDigits
from fmbench_metrics.frechet import FrechetDistance


class FIDDigits(OnDigits, FrechetDistance):
    """FID of 1x8x8 pictures with 32 features of a LeNet trained on digits; not to be compared with published FIDs."""

    minimum_samples = 33  # one more than the features, or the covariance is singular
    value_name = "fid_digits"
