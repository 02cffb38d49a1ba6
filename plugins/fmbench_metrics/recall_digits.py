"""Recall for grey pictures of 8x8, by a small extractor trained on digits."""

from __future__ import annotations

from fmbench_metrics.feature_metric import OnDigits
from fmbench_metrics.manifold import ManifoldRecall


class RecallDigits(OnDigits, ManifoldRecall):
    """The share of real pictures that samples come near, by a LeNet trained on digits, for 1x8x8 pictures."""

    value_name = "recall_digits"
