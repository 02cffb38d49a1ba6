"""FID as it is published: Inception's features."""

from __future__ import annotations

from fmbench_metrics.frechet import FrechetDistance
from fmbench_metrics.inception import OnInception


class FID(OnInception, FrechetDistance):
    """FID with torch-fidelity's inception-v3-compat, layer 2048.

    The covariance of 2,048 features needs more samples than that; published values take 50,000.
    """

    minimum_samples = 2049
    value_name = "fid"
