"""How straight the trajectories of the learnt flow are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge

from fmbench import Metric
from fmbench_metrics.trajectories import trajectories

if TYPE_CHECKING:
    from fmbench import Evidence


class Straightness(Metric):
    """E int |x_1 - x_0 - v(x_t, t)|^2 dt along the trajectories of the learnt flow, averaged over dimensions.

    0 where every trajectory is a straight line at constant speed, which Euler's method follows in one step. The paper
    sums over dimensions; here it is their mean, as in the losses.

    Args:
        points: number of trajectories, from noise that is the same for all cells of a seed.
        steps: steps of the midpoint method from t=0 to t=1, of two network calls each.
    """

    reference = "Liu et al. 2022, Flow Straight and Fast (arXiv:2209.03003), the straightness S(Z)"
    scope = "training"

    def __init__(self, *, points: Annotated[int, Ge(1)] = 256, steps: Annotated[int, Ge(1)] = 32) -> None:
        self.points = points
        self.steps = steps

    def compute(self, evidence: Evidence) -> Mapping[str, float]:
        """Return the mean over trajectories and dimensions. Raises Diverged where a trajectory is not finite."""
        found = trajectories(evidence, self.points, self.steps, evidence.generator("trajectories"))
        return {"straightness": float(found.bend.mean()) / found.x_0[0].numel()}

    def identity(self, evidence: Evidence) -> Mapping[str, Any]:
        """Return whether the trajectories are those of labels."""
        return {"labels": evidence.is_conditional}
