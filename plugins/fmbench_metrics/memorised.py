"""How many samples are copies of training examples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from fmbench import DataError, Metric
from fmbench_metrics.memory import cached_on, sets_identity

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench import Evidence

RATIO = 1 / 3
BLOCK = 512


class Memorised(Metric):
    """The share of samples whose nearest training example is nearer than a third of the second nearest: d_1 < d_2/3.

    Distances are Euclidean, between the values of the data themselves. Training examples that are equal count as one,
    or a copy of them would have no second. Copies of the training set give 1, and what memorises nothing gives the
    value of held-out data, the floor. That is not 0: where data fill d dimensions evenly it is 3^-d, which is 1/9 in
    the plane, and less than a millionth from 13 dimensions on. So this is a metric of pictures more than of points.

    Source: Yoon et al. 2023, Diffusion Probabilistic Models Generalize when They Fail to Memorize (ICML workshop on
    structured probabilistic inference); Gu et al. 2023 (arXiv:2310.02664).
    """

    reference = "Gu et al. 2023, On Memorization in Diffusion Models (arXiv:2310.02664)"
    provides = ("samples_only",)
    minimum_samples = 2

    def compute(self, evidence: Evidence) -> Mapping[str, float]:
        """Return the share. Raises DataError where training examples have no second, or there are no samples."""
        if evidence.samples is None:
            raise DataError("memorised judges samples; this evidence has none.")
        real = evidence.real("train")[0]
        distinct: Tensor = cached_on(real, "distinct", lambda: real.flatten(1).double().unique(dim=0))
        if len(distinct) < 2:
            raise DataError(f"memorised needs two training examples that differ; found {len(distinct)}.")
        return {"memorised": memorised_share(evidence.samples.flatten(1).double(), distinct)}

    def identity(self, evidence: Evidence) -> Mapping[str, Any]:
        """Return reference set and sample count."""
        return sets_identity(evidence, "train")


def memorised_share(samples: Tensor, training: Tensor) -> float:
    """Return the share of `samples` `(n, d)` that lie at one of `training` `(m, d)`, all of which differ."""
    copies = 0
    for block in torch.split(samples, BLOCK):
        nearest = torch.cdist(block, training).topk(2, largest=False, sorted=True).values
        copies += int((nearest[:, 0] < RATIO * nearest[:, 1]).sum())
    return copies / len(samples)
