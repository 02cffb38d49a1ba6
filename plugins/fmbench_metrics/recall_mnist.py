"""Recall for grey pictures of 28x28, by a small extractor trained on mnist."""

from __future__ import annotations

from fmbench_metrics.feature_metric import OnMnist
from fmbench_metrics.manifold import ManifoldRecall


class RecallMnist(OnMnist, ManifoldRecall):
    """The share of real pictures that samples come near, by a LeNet trained on mnist, for 1x28x28 pictures."""

    value_name = "recall_mnist"
