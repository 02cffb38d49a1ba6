"""How much of one set of pictures lies in the neighbourhood of another: what precision and recall share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch

from fmbench import DataError
from fmbench_metrics.feature_metric import FeatureMetric

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench import Evidence
    from fmbench_metrics.features import Reference

NEIGHBOURS = 3
"""The k of the paper's experiments."""
BLOCK = 512


class NeighbourhoodShare(FeatureMetric):
    """A share of pictures, between 0 and 1.

    A set's neighbourhood is made of one ball around each of its pictures, which reaches to the picture's third nearest
    neighbour in the set. Distances are torch.cdist's, which torch-fidelity takes. The paper takes as many samples as
    real pictures, 50,000 of each; another number moves the values, recall most. It takes features of VGG-16, so that
    its own values are not to be compared with these.
    """

    reference = "Kynkäänniemi et al. 2019, eqs. 1 and 2; torch-fidelity's metric_prc"
    better = "higher"
    minimum_samples = 100  # so that one picture moves a value by no more than a hundredth

    def sets(self, evidence: Evidence) -> tuple[Tensor, Reference]:
        """Return features `(n, d)` of samples, and those of real data. Raises DataError where they are too few."""
        samples, reference = self.features(evidence)
        counts = {"samples": len(samples.features), f"pictures in the {self.split} split": len(reference.features)}
        for name, count in counts.items():
            if count <= NEIGHBOURS:
                raise DataError(f"{self.registered_name} needs at least {NEIGHBOURS + 1} {name}; found {count}.")
        return samples.features, reference

    def identity(self, evidence: Evidence) -> Mapping[str, Any]:
        """Return extractor, reference set, sample count, neighbours, quantiser and versions."""
        return {**super().identity(evidence), "neighbours": NEIGHBOURS}


def share_inside(points: Tensor, centres: Tensor, radii: Tensor | None = None) -> float:
    """Return the share of `points` `(n, d)` that lie in the neighbourhood of `centres` `(m, d)`.

    `radii` are those of the centres, where they are known.
    """
    reach = _radii(centres) if radii is None else radii
    inside = sum(int((distances <= reach).any(dim=1).sum()) for distances in _distances(points, centres))
    return inside / len(points)


def radii_of(reference: Reference) -> Tensor:
    """Return the radii `(m,)` of a reference set's balls, found once for all that compare with it."""
    (m, d), name = reference.features.shape, f"radii 1 {NEIGHBOURS}"
    return reference.statistic(name, m**2 * d, lambda features: {"radii": _radii(features)})["radii"]


def _radii(centres: Tensor) -> Tensor:
    """Return the distance from each centre to its third nearest neighbour, `(m,)`; the nearest is itself."""
    nearest = [block.topk(NEIGHBOURS + 1, largest=False, sorted=True) for block in _distances(centres, centres)]
    return torch.cat([found.values[:, -1] for found in nearest])


def _distances(points: Tensor, centres: Tensor) -> Iterator[Tensor]:
    """Yield the distances `(block, m)` of some points after the others."""
    return (torch.cdist(block, centres) for block in torch.split(points, BLOCK))
