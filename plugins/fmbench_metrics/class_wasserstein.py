"""The sliced Wasserstein distance within each class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import torch
from annotated_types import Ge

from fmbench import DataError
from fmbench_metrics.held_out import HeldOutDistance
from fmbench_metrics.memory import cached_on
from fmbench_metrics.sliced_wasserstein import sorted_projections, squared_distances

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench import Evidence


class ClassWasserstein(HeldOutDistance):
    """Mean over classes of the sliced 2-Wasserstein distance between a class's samples and its test data.

    What sliced_wasserstein cannot see of a class-conditional model: samples that belong to another class, or have a
    class's shape wrong, while all together are right. Every class counts the same; `class_wasserstein_worst` is the
    largest distance. Class-conditional training is needed.

    Args:
        projections: number of directions, the same for all cells of a seed.
    """

    reference = "sliced_wasserstein within each class"
    unit = "data units"
    requires = ("classes", "labels")

    def __init__(self, *, projections: Annotated[int, Ge(1)] = 256) -> None:
        self.projections = projections

    def compute(self, evidence: Evidence) -> Mapping[str, float]:
        """Return the mean and the largest distance. Raises DataError where samples have no labels or lack a class."""
        samples, real = self.sets(evidence)
        labels, y = evidence.labels, evidence.real("test")[1]
        if labels is None or y is None:
            raise DataError("class_wasserstein needs samples drawn by class: set training.class_conditional: true.")
        generator = evidence.generator("projections")
        directions = torch.randn(self.projections, real[0].numel(), generator=generator, device=generator.device)
        directions = torch.nn.functional.normalize(directions, dim=1)
        key = f"sorted projections by class {self.projections} {generator.initial_seed()}"
        expected = cached_on(real, key, lambda: _by_class(real, y, evidence.dataset.classes, directions))
        found = _by_class(samples, labels, evidence.dataset.classes, directions)
        distances = [float(squared_distances(*pair).mean().sqrt()) for pair in zip(found, expected, strict=True)]
        mean = sum(distances) / len(distances)
        return {"class_wasserstein": mean, "class_wasserstein_worst": max(distances)}

    def identity(self, evidence: Evidence) -> Mapping[str, Any]:
        """Return reference set, sample count, classes and directions."""
        classes = evidence.dataset.classes
        return {**super().identity(evidence), "classes": classes, "projections": self.projections}


def _by_class(x: Tensor, y: Tensor, classes: int, directions: Tensor) -> list[Tensor]:
    """Return the sorted projections of each class. Raises DataError for a class of which `x` has no example."""
    counts = torch.bincount(y, minlength=classes)
    if not bool(counts.all()):
        missing = (counts == 0).nonzero().flatten().tolist()
        raise DataError(f"class_wasserstein needs examples of every class; of {missing} there are none in {len(x)}.")
    return [sorted_projections(x[y == label], directions) for label in range(classes)]
