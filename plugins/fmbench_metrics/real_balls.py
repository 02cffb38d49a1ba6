"""Samples in the balls around real data: what density and coverage share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from annotated_types import Ge

from fmbench import DataError
from fmbench_metrics.values import ValuesMetric

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench import Evidence
    from fmbench_metrics.values import Compared

BLOCK = 512


class RealBalls(ValuesMetric):
    """A score of samples by the balls around real data, each of which reaches to its centre's k-th nearest neighbour.

    The neighbours are real data too, and the centre is not one of them. A sample on the rim of a ball is outside, as in
    the authors' code. Samples have no balls: where they scatter they would reach far, which makes recall too high.

    Args:
        neighbours: k, 5 in the paper's experiments.
    """

    reference = "Naeem et al. 2020, Reliable Fidelity and Diversity Metrics (arXiv:2002.09797), section 3.2"
    better = "higher"
    minimum_samples = 100  # so that one picture moves a value by no more than a hundredth

    def __init__(
        self,
        *,
        extractor: Compared = "inception",
        weights: str | None = None,
        reference: Literal["train", "test"] = "train",
        neighbours: Annotated[int, Ge(1)] = 5,
    ) -> None:
        super().__init__(extractor=extractor, weights=weights, reference=reference)
        self.neighbours = neighbours

    def distances(self, evidence: Evidence) -> tuple[Iterator[Tensor], Tensor]:
        """Return the distances `(block, m)` of some samples after the others from the centres, and the radii `(m,)`.

        Raises DataError where the real data are too few to have a k-th neighbour.
        """
        samples, real = self.compared(evidence)
        if len(real) <= self.neighbours:
            raise DataError(
                f"{self.registered_name} needs at least {self.neighbours + 1} examples in the {self.split} split for "
                f"{self.neighbours} neighbours; found {len(real)}."
            )
        name, (m, d) = f"radii 1 {self.neighbours}", real.shape
        radii = self.of_real(evidence, name, m**2 * d, lambda x: {"radii": radii_of(x, self.neighbours)})["radii"]
        return (torch.cdist(block, real) for block in torch.split(samples, BLOCK)), radii

    def identity(self, evidence: Evidence) -> Mapping[str, Any]:
        """Return extractor, reference set, sample count, neighbours, and of features quantiser and versions."""
        return {**super().identity(evidence), "neighbours": self.neighbours}


def radii_of(centres: Tensor, neighbours: int) -> Tensor:
    """Return the distance `(m,)` from each of `centres` `(m, d)` to its k-th nearest neighbour among the others."""
    nearest = [
        torch.cdist(block, centres).topk(neighbours + 1, largest=False, sorted=True)  # the nearest is itself
        for block in torch.split(centres, BLOCK)
    ]
    return torch.cat([found.values[:, -1] for found in nearest])
