"""Precision for grey pictures of 28x28, by a small extractor trained on mnist."""

from __future__ import annotations

from fmbench_metrics.feature_metric import OnMnist
from fmbench_metrics.manifold import ManifoldPrecision


class PrecisionMnist(OnMnist, ManifoldPrecision):
    """The share of samples that look like real pictures, by a LeNet trained on mnist, for 1x28x28 pictures."""

    value_name = "precision_mnist"
