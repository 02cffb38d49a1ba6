"""Precision for grey pictures of 8x8, by a small extractor trained on digits."""

from __future__ import annotations

from fmbench_metrics.feature_metric import OnDigits
from fmbench_metrics.manifold import ManifoldPrecision


class PrecisionDigits(OnDigits, ManifoldPrecision):
    """The share of samples that look like real pictures, by a LeNet trained on digits, for 1x8x8 pictures."""

    value_name = "precision_digits"
