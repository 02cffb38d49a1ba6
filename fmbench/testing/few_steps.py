"""The exact flow of a mixture of Gaussians along every path: where solvers are compared at few steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from fmbench.cells.component_spec import is_own
from fmbench.components.contracts import ProbabilityPath, Solver
from fmbench.components.gaussian_mixture import Mixture
from fmbench.plugins.registry import load_registry
from fmbench.testing.base import generator
from fmbench.testing.dummy_components import CountedField
from fmbench.testing.ode_problems import uniform_times

Field = Callable[[Tensor, Tensor], Tensor]

STEPS = range(2, 9)
"""The numbers of equal steps that count as few."""
GIVEN = frozenset({"points", "normal_source", "independent"})
"""What the mixture and its pairs provide besides the path."""
PARTICLES = 64
REFERENCE_STEPS = 40
"""Steps of the Runge-Kutta method that stands for the exact flow; twice as many move it by less than 1e-3."""

WEIGHTS = (0.3, 0.5, 0.2)
MEANS = ((-2.0, -1.0), (1.0, 3.0), (4.0, -2.0))
COVARIANCES = (((0.5, 0.1), (0.1, 0.4)), ((0.6, -0.2), (-0.2, 0.5)), ((0.4, 0.0), (0.0, 0.6)))


@dataclass(frozen=True)
class ExactFlow:
    """Particles that follow the exact velocity of the mixture along a path, from `x_0` to `x_1`, `(batch, 2)` float64.

    `euler` are the mean distances from `x_1` at which Euler's method ends, by its number of equal steps.
    """

    path: ProbabilityPath
    x_0: Tensor
    x_1: Tensor
    euler: Mapping[int, float]

    def distance(self, solver: Solver, steps: int) -> float:
        """Return how far from `x_1` a solver ends in the mean, with this many equal steps."""
        ends = solver.integrate(CountedField(_velocity(self.path), self.path), self.x_0, uniform_times(steps))
        return float((ends - self.x_1).norm(dim=1).mean())

    def behind_euler(self, solver: Solver) -> dict[int, float]:
        """Return how many times Euler's distance a solver's is, by the number of steps."""
        return {steps: self.distance(solver, steps) / self.euler[steps] for steps in STEPS}


@cache
def gaussian_paths() -> Mapping[str, ProbabilityPath]:
    """Return the paths that come with fmbench and are affine to a normal source, by name, with their defaults."""
    registry = load_registry()
    own = [entry.name for entry in registry.entries("path") if is_own(entry.owner)]
    built = {name: registry.build(registry.spec("path", name)) for name in own}
    return {name: path for name, path in built.items() if "gaussian" in path.provides}  # type: ignore[misc]


@cache
def exact_flow(name: str) -> ExactFlow:
    """Return the mixture's flow along one of `gaussian_paths`."""
    path = gaussian_paths()[name]
    velocity = _velocity(path)
    x_0 = torch.randn(PARTICLES, 2, dtype=torch.float64, generator=generator())
    # Steps shrink towards both ends, where the velocity of some paths has a pole.
    x_1 = x_0
    for t, t_next in torch.sin(torch.pi / 2 * uniform_times(REFERENCE_STEPS)).square().unfold(0, 2, 1):
        x_1 = _runge_kutta_step(velocity, x_1, t.expand(PARTICLES), t_next - t)
    euler = {}
    for steps in STEPS:
        x = x_0
        for t in uniform_times(steps)[:-1]:
            x = x + velocity(x, t.expand(PARTICLES)) / steps
        euler[steps] = float((x - x_1).norm(dim=1).mean())
    return ExactFlow(path, x_0, x_1, euler)


def _velocity(path: ProbabilityPath) -> Field:
    mixture = Mixture(*(torch.tensor(a, dtype=torch.float64) for a in (WEIGHTS, MEANS, COVARIANCES)))
    return lambda x, t: mixture.velocity(x, t, path.gaussian)


def _runge_kutta_step(velocity: Field, x: Tensor, t: Tensor, h: Tensor) -> Tensor:
    v_1 = velocity(x, t)
    v_2 = velocity(x + h / 2 * v_1, t + h / 2)
    v_3 = velocity(x + h / 2 * v_2, t + h / 2)
    return x + h / 6 * (v_1 + 2 * v_2 + 2 * v_3 + velocity(x + h * v_3, t + h))
