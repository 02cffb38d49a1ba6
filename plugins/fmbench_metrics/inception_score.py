"""The inception score: how sure a classifier is of each sample, and how different it finds them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import Ge

from fmbench import DataError
from fmbench_metrics import features
from fmbench_metrics.feature_metric import FeatureMetric

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench import Evidence

SEED = 2020
"""torch-fidelity's default, so that the parts are those that it takes."""


class InceptionScore(FeatureMetric):
    """exp E KL(p(y|x) || p(y)), y being the class that Inception sees in a sample x: the mean over parts of samples.

    It is compared with no real data. What is called the floor is the score of the test split, which good samples reach
    and others may exceed. The classes are ImageNet's: of pictures of something else the score says little. It rises
    with the number of samples in a part; published values take 5,000. `<name>_std` is the deviation over parts, and no
    error bar of the mean. Parts and logits, without the bias of the last layer, are those of torch-fidelity.

    Args:
        extractor: whose classes: "inception" has 1,008, for pictures of any size; "digits" and "mnist" are a LeNet that
            knows ten digits, for grey pictures of 8x8 or 28x28: scores that are not to be compared with published ones.
        weights: Inception's weights file; torch hub's cache unless given. Nothing is downloaded.
        splits: parts that the samples are cut into at random.
    """

    reference = "Salimans et al. 2016, Improved techniques for training GANs (arXiv:1606.03498); torch-fidelity's isc"
    registered_name = "inception_score"
    better = "higher"
    provides = ("samples_only", "own_reference")
    minimum_samples = 100
    layer = "logits"

    def __init__(
        self,
        *,
        extractor: Literal["inception", "digits", "mnist"] = "inception",
        weights: str | None = None,
        splits: Annotated[int, Ge(1)] = 10,
    ) -> None:
        super().__init__(extractor=extractor, weights=weights)
        self.splits = splits

    def compute(self, evidence: Evidence) -> Mapping[str, float]:
        """Return mean and standard deviation over parts. Raises DataError where a part would be empty."""
        logits = features.sample_features(evidence, self.extractor(evidence.device)).features
        if len(logits) < self.splits:
            raise DataError(f"{self.registered_name} cuts the samples into {self.splits} parts; found {len(logits)}.")
        scores = inception_scores(logits, self.splits)
        return {
            self.registered_name: float(scores.mean()),
            f"{self.registered_name}_std": float(scores.std(correction=0)),
        }

    def identity(self, evidence: Evidence) -> Mapping[str, Any]:
        """Return extractor, sample count, parts, quantiser and versions."""
        of_samples = features.identity_of_samples(evidence, self.extractor(evidence.device))
        return {**of_samples, "splits": self.splits, "splits_seed": SEED}


def inception_scores(logits: Tensor, splits: int) -> Tensor:
    """Return the score of each part, float64 `(splits,)`, of logits `(n, classes)` that are cut at random."""
    n = len(logits)
    order = torch.from_numpy(np.random.RandomState(SEED).permutation(n))
    log_p = logits[order.to(logits.device)].cpu().double().log_softmax(1)
    parts = [log_p[i * n // splits : (i + 1) * n // splits] for i in range(splits)]
    return torch.stack([_score(part) for part in parts])


def _score(log_p: Tensor) -> Tensor:
    marginal = log_p.exp().mean(0, keepdim=True).log()
    return (log_p.exp() * (log_p - marginal)).sum(1).mean().exp()
