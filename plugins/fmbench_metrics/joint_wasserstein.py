"""The 2-Wasserstein distance of samples together with their condition vectors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import torch
from annotated_types import Ge, Gt

from fmbench import DataError
from fmbench_metrics.wasserstein_2 import Wasserstein2

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench import Evidence


class JointWasserstein(Wasserstein2):
    """Exact 2-Wasserstein distance of pairs (x, scale c) of samples and condition vectors to those of the test split.

    What wasserstein_2 cannot see of a conditional model: samples that belong to another condition, while all together
    are right. Moving a pair costs |x - x'|^2 + scale^2 |c - c'|^2. As scale grows pairs move within their condition
    only, and the distance approaches the mean over conditions of that between x given c; finite sets then need many
    points near each c. Samples are drawn for conditions of the test split itself, so that a model without fault comes
    out a little below the floor, whose conditions are others. Class-conditional training is needed.

    Args:
        scale: data units that a unit of the conditions counts as.
        points: the most samples, and the most test points, that take part.
    """

    reference = "Chemseddine et al. 2024, Conditional Wasserstein distances (arXiv:2403.18705); POT's emd2"
    requires = ("vectors", "labels")

    def __init__(self, *, scale: Annotated[float, Gt(0)] = 1.0, points: Annotated[int, Ge(2)] = 2000) -> None:
        super().__init__(points=points)
        self.scale = scale

    def compute(self, evidence: Evidence) -> Mapping[str, float]:
        """Return the distance. Raises DataError where samples or data have no condition vectors."""
        return {"joint_wasserstein": super().compute(evidence)["wasserstein_2"]}

    def identity(self, evidence: Evidence) -> Mapping[str, Any]:
        """Return reference set, sample count, scale, and the number of points that take part."""
        return {**super().identity(evidence), "scale": self.scale}

    def sets(self, evidence: Evidence) -> tuple[Tensor, Tensor]:
        """Return samples and test split, each beside its scaled conditions: `(n, numbers of both)`."""
        given = (evidence.labels, evidence.real("test")[1])
        found = []
        for x, y in zip(super().sets(evidence), given, strict=True):
            if y is None or not y.is_floating_point():
                raise DataError("joint_wasserstein needs condition vectors: set training.class_conditional: true.")
            found.append(torch.cat([x.flatten(1), self.scale * y], dim=1))
        return found[0], found[1]
