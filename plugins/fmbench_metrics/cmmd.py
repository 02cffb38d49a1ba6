"""CMMD: the kernel distance (MMD^2) between CLIP's embeddings of samples and of real data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import torch
from torch.nn import functional as F

from fmbench_metrics.feature_metric import FeatureMetric
from fmbench_metrics.pairwise import mean_between

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench import Evidence
    from fmbench_metrics.extractor import ExtractorName

SIGMA = 10.0
"""Bandwidth of the kernel."""
SCALE = 1000
"""What the authors multiply by, for values that can be read."""


class CMMD(FeatureMetric):
    """1000 times MMD^2 with the kernel exp(-|x - y|^2 / (2 10^2)), between embeddings of length one.

    The kernel is characteristic, so that only equal distributions are at distance 0; the embeddings of length one are
    far closer than its bandwidth, which leaves mostly the distance of their means. Pairs of a point with itself count,
    as in the authors' code, so that the value falls with the number n of samples as a + b/n.

    Args:
        extractor: whose features: the paper's is "clip"; others as for fid, made to have length one as well, whose
            values are not to be compared with published ones.
    """

    provides = ("samples_only", "bias_over_n")
    reference = "Jayasumana et al. 2024, Rethinking FID (arXiv:2401.09603), section 4; google-research's cmmd"
    registered_name = "cmmd"
    minimum_samples = 100

    def __init__(
        self,
        *,
        extractor: ExtractorName = "clip",
        weights: str | None = None,
        reference: Literal["train", "test"] = "train",
    ) -> None:
        super().__init__(extractor=extractor, weights=weights, reference=reference)

    def compute(self, evidence: Evidence) -> Mapping[str, float]:
        """Return the distance. Raises DataError where the extractor cannot judge the pictures."""
        samples, reference = self.features(evidence)
        x, y = of_length_one(samples.features), of_length_one(reference.features)
        m, d = y.shape

        def within_reference(features: Tensor) -> dict[str, Tensor]:
            return {"mean": torch.tensor(_mean(y, y), dtype=torch.float64)}

        within = float(reference.statistic("cmmd 1", m**2 * d, within_reference)["mean"])
        return {self.registered_name: SCALE * (_mean(x, x) + within - 2 * _mean(x, y))}


def of_length_one(x: Tensor) -> Tensor:
    """Return `x` `(n, d)` in float64, each row divided by its length."""
    return F.normalize(x.double(), dim=1)


def _mean(x: Tensor, y: Tensor) -> float:
    """Return the mean of the kernel over all pairs of rows of `x` `(n, d)` and `y` `(m, d)`, in float64."""
    return mean_between(lambda squared: torch.exp(squared / (-2 * SIGMA**2)), x, y)
