"""How much more the learnt flow moves than optimal transport would."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge

from fmbench import Metric
from fmbench_metrics.trajectories import trajectories
from fmbench_metrics.validation import examples, reference
from fmbench_metrics.wasserstein_2 import transport

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench import Evidence
    from fmbench_metrics.wasserstein_2 import Transport


class NormalizedPathEnergy(Metric):
    """|E int |v(x_t, t)|^2 dt - W_2^2| / W_2^2: the path's energy against that of optimal transport, its lower bound.

    W_2 is the exact distance between `points` source draws, where the trajectories start, and as many examples of the
    test split. Between finite sets it is more than between the distributions, in high dimension much more: the value is
    meant for points in few dimensions, and 0 is out of reach even for the optimal map. A flow that does not arrive at
    the data can have less energy than W_2^2.

    `normalized_path_energy_energy` and `normalized_path_energy_transport` are the two parts, summed over dimensions.

    W_2^2 is an estimate of the metric's own, and its noise may be larger than what is to be told apart:
    `normalized_path_energy_floor` is what a flow whose energy is exactly W_2^2 would have on average from as many
    points, and `normalized_path_energy_se` is the standard error of the value, both over draws of the points. Both are
    from the variances of the dual solution, so that they cost nothing, and know nothing of what W_2 between finite sets
    is too large (docs/measurements.md has the formulas). Take as many points as there are: from 1,000 the floor is
    above much of what papers publish.

    Args:
        points: number of trajectories, and the most test examples. The memory of W_2 grows with their square, to 5 GB
            for 10,000, and its time faster.
        steps: steps of the midpoint method from t=0 to t=1, of two network calls each.
    """

    reference = (
        "Tong et al. 2024, Minibatch Optimal Transport (arXiv:2302.00482), section 5.1; its noise: docs/measurements.md"
    )
    scope = "training"

    def __init__(self, *, points: Annotated[int, Ge(1)] = 1000, steps: Annotated[int, Ge(1)] = 32) -> None:
        self.points = points
        self.steps = steps

    def compute(self, evidence: Evidence) -> Mapping[str, float]:
        """Return the energy's distance from W_2^2, over W_2^2. Raises Diverged where a trajectory is not finite."""
        found = trajectories(evidence, self.points, self.steps, evidence.generator("trajectories"))
        data, _ = examples(evidence, self.points, evidence.generator("path_energy_data"))
        w2 = transport(found.x_0.flatten(1), data.flatten(1))
        energy = found.energy.cpu()
        mean = float(energy.mean())
        return {
            "normalized_path_energy": abs(mean - w2.cost) / w2.cost,
            "normalized_path_energy_energy": mean,
            "normalized_path_energy_transport": w2.cost,
            "normalized_path_energy_se": standard_error(energy, w2),
            "normalized_path_energy_floor": math.sqrt(2 / math.pi) * error_of_the_best(w2),
        }

    def identity(self, evidence: Evidence) -> Mapping[str, Any]:
        """Return the held-out set, and whether the trajectories are those of labels."""
        return {**reference(evidence), "labels": evidence.is_conditional}


def standard_error(energy: Tensor, w2: Transport) -> float:
    """Return the standard error of mean(energy) / W_2^2, for `energy` `(n,)` of trajectories from the points moved.

    By the delta method: both means are over the same starts, whose part in W_2^2 is their dual value.
    """
    ratio = float(energy.mean()) / w2.cost
    return math.sqrt(_of_mean(energy - ratio * w2.of_x) + ratio**2 * _of_mean(w2.of_y)) / w2.cost


def error_of_the_best(w2: Transport) -> float:
    """Return the standard error of that ratio for the optimal flow, whose energy is |T(x) - x|^2 for the optimal map T.

    That is the dual value of x plus the one of T(x), so that what is left is the dual's mean over the test examples
    less its mean over the ends of the trajectories, which are as many draws of the same distribution as there are
    starts.
    """
    variance = float(w2.of_y.var()) if len(w2.of_y) > 1 else 0.0
    return math.sqrt(variance / len(w2.of_x) + variance / len(w2.of_y)) / w2.cost


def _of_mean(x: Tensor) -> float:
    """Return the variance of the mean of `x` `(n,)`, 0 for a single value."""
    return float(x.var()) / len(x) if len(x) > 1 else 0.0
