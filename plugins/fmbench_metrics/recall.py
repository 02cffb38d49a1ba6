"""Recall as it is published, but with Inception's features."""

from __future__ import annotations

from fmbench_metrics.inception import OnInception
from fmbench_metrics.manifold import ManifoldRecall


class Recall(OnInception, ManifoldRecall):
    """The share of real pictures that samples come near, by torch-fidelity's inception-v3-compat, layer 2048.

    The paper itself takes features of VGG-16, so its values are not to be compared with these.
    """

    value_name = "recall"
