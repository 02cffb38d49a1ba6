"""How much more the learnt flow moves than optimal transport would."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge

from fmbench import Metric
from fmbench_metrics.trajectories import trajectories
from fmbench_metrics.validation import examples, reference
from fmbench_metrics.wasserstein_2 import wasserstein_2

if TYPE_CHECKING:
    from fmbench import Evidence


class NormalizedPathEnergy(Metric):
    """|E int |v(x_t, t)|^2 dt - W_2^2| / W_2^2: the path's energy against that of optimal transport, its lower bound.

    W_2 is the exact distance between `points` source draws, where the trajectories start, and as many examples of the
    test split. Between finite sets it is more than between the distributions, in high dimension much more: the value is
    meant for points in few dimensions, and 0 is out of reach even for the optimal map. A flow that does not arrive at
    the data can have less energy than W_2^2.

    `normalized_path_energy_energy` and `normalized_path_energy_transport` are the two parts, summed over dimensions.

    Args:
        points: number of trajectories, and the most test examples.
        steps: steps of the midpoint method from t=0 to t=1, of two network calls each.
    """

    reference = "Tong et al. 2024, Minibatch Optimal Transport (arXiv:2302.00482), section 5.1"
    scope = "training"

    def __init__(self, *, points: Annotated[int, Ge(1)] = 1000, steps: Annotated[int, Ge(1)] = 32) -> None:
        self.points = points
        self.steps = steps

    def compute(self, evidence: Evidence) -> Mapping[str, float]:
        """Return the energy's distance from W_2^2, over W_2^2. Raises Diverged where a trajectory is not finite."""
        found = trajectories(evidence, self.points, self.steps, evidence.generator("trajectories"))
        data, _ = examples(evidence, self.points, evidence.generator("path_energy_data"))
        transport = wasserstein_2(found.x_0.flatten(1), data.flatten(1)) ** 2
        energy = float(found.energy.mean())
        return {
            "normalized_path_energy": abs(energy - transport) / transport,
            "normalized_path_energy_energy": energy,
            "normalized_path_energy_transport": transport,
        }

    def identity(self, evidence: Evidence) -> Mapping[str, Any]:
        """Return the held-out set, and whether the trajectories are those of labels."""
        return {**reference(evidence), "labels": evidence.is_conditional}
