"""MIND: the sliced Wasserstein distance between the features of samples and of real data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from annotated_types import Ge

from fmbench_metrics.feature_metric import FeatureMetric
from fmbench_metrics.memory import cached_on
from fmbench_metrics.sliced_wasserstein import sorted_projections, squared_distances

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench import Evidence
    from fmbench_metrics.extractor import ExtractorName

SEED = 2020
"""torch-fidelity's default, so that subset and directions are those that it draws."""
SCALE = 3
"""The paper's factor, beside the number of features."""


class MIND(FeatureMetric):
    """Monge Inception Distance: 3 d times the mean over directions of the squared 2-Wasserstein distance along them.

    d is the number of features, and the distance between as many samples as real data that of their sorted projections.
    From the larger set as many are drawn at random as the smaller has. Unlike FID it needs no covariance, sees more
    than two moments, and moves less from one draw of samples to the next: the paper takes 5,000. Like FID, it falls
    with their number. Subset and directions are those of torch-fidelity.

    Args:
        projections: random directions over which the squared distance is averaged.

    Source: Berthet et al. 2026 (arXiv:2605.06797); torch-fidelity's metric_mind.
    """

    reference = "Berthet et al. 2026, MIND: Monge Inception Distance (arXiv:2605.06797); torch-fidelity's metric_mind"
    registered_name = "mind"
    minimum_samples = 100

    def __init__(
        self,
        *,
        extractor: ExtractorName = "inception",
        weights: str | None = None,
        reference: Literal["train", "test"] = "train",
        projections: Annotated[int, Ge(1)] = 1000,
    ) -> None:
        super().__init__(extractor=extractor, weights=weights, reference=reference)
        self.projections = projections

    def compute(self, evidence: Evidence) -> Mapping[str, float]:
        """Return the distance. Raises DataError where the extractor cannot judge the pictures."""
        samples, reference = self.features(evidence)
        return {self.registered_name: monge_distance(samples.features, reference.features, self.projections)}

    def identity(self, evidence: Evidence) -> Mapping[str, Any]:
        """Return extractor, reference set, sample count, directions, quantiser and versions."""
        return {**super().identity(evidence), "projections": self.projections, "projections_seed": SEED}


def monge_distance(x: Tensor, y: Tensor, projections: int) -> float:
    """Return MIND between features `x` `(n, d)` and `y` `(m, d)`; what it takes of `y` is remembered with `y`."""
    n, d = min(len(x), len(y)), x.shape[1]
    generator = torch.Generator().manual_seed(SEED)  # on the CPU, so that every device draws alike
    of_x, of_y = (torch.randperm(len(each), generator=generator)[:n] if len(each) > n else None for each in (x, y))
    directions = torch.nn.functional.normalize(torch.randn(projections, d, generator=generator))
    key = f"mind {n} {len(x)} {projections}"
    real = cached_on(y, key, lambda: sorted_projections(_chosen(y, of_y), directions))
    squared = squared_distances(sorted_projections(_chosen(x, of_x), directions), real)
    return SCALE * d * float(squared.double().mean())


def _chosen(x: Tensor, rows: Tensor | None) -> Tensor:
    return x if rows is None else x[rows.to(x.device)]
