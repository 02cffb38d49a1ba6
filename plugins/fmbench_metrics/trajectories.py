"""The trajectories of the learnt flow, from fixed noise: how fast they go and how far they get."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from fmbench.errors import Diverged
from fmbench_metrics.validation import labelled

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from fmbench import Evidence, Velocity

BATCH = 256


@dataclass(frozen=True)
class Trajectories:
    """What is kept of trajectories: their start `x_0` and `displacement` x_1 - x_0, `(n, *shape)`, and `energy` `(n,)`.

    The energy is int |v|^2 dt, summed over dimensions. Both are by the midpoint rule with the same velocities, so
    that the energy is never below the squared displacement, and equal to it for a constant velocity.
    """

    x_0: Tensor
    displacement: Tensor
    energy: Tensor

    @property
    def bend(self) -> Tensor:
        """int |x_1 - x_0 - v|^2 dt, `(n,)`, summed over dimensions: 0 for straight lines at constant speed."""
        return (self.energy - self.displacement.flatten(1).double().square().sum(1)).clamp(min=0)


@torch.no_grad()
def trajectories(evidence: Evidence, points: int, steps: int, generator: Generator) -> Trajectories:
    """Integrate the velocity from `points` draws of the source, by the midpoint method in `steps` equal steps.

    That takes two evaluations a step, and none at t=1, where some paths' velocities have a pole. Where the network
    takes labels, they are those of the test split in turn. Raises Diverged where a trajectory is not finite.
    """
    data, labels = evidence.real("test")
    x_0 = evidence.dataset.source(points, generator).to(data)
    turn = torch.arange(points, device=data.device) % len(data)
    y = labels[turn] if evidence.is_conditional and labels is not None else None
    ends, energies = [], []
    for rows in torch.split(torch.arange(points, device=data.device), BATCH):
        with labelled(evidence.velocity, None if y is None else y[rows]) as velocity:
            x_1, energy = _integrate(velocity, x_0[rows], steps)
        ends.append(x_1)
        energies.append(energy)
    found = Trajectories(x_0, torch.cat(ends) - x_0, torch.cat(energies))
    if not bool(torch.isfinite(found.energy).all()):
        bad = int((~torch.isfinite(found.energy)).sum())
        raise Diverged(f"{bad} of {points} trajectories are not finite")
    return found


def _integrate(velocity: Velocity, x: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Return where the trajectories from `x` end, and their energies in float64, `(batch,)`."""
    energy = torch.zeros(len(x), dtype=torch.float64, device=x.device)
    for number in range(steps):
        start, middle = (x.new_full((len(x),), (number + part) / steps) for part in (0.0, 0.5))
        halfway = torch.add(x, velocity(x, start), alpha=0.5 / steps)
        v = velocity(halfway, middle)
        x = torch.add(x, v, alpha=1 / steps)
        energy += v.flatten(1).double().square().sum(1) / steps
    return x, energy
