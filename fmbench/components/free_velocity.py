"""A velocity that costs nothing, in a network's place: what a solver or a guidance does is seen on it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor

from fmbench.components.contracts import Guidance, ProbabilityPath, Solver, expand


class FreeVelocity:
    """Smooth velocities that treat each example by itself, under guidance, with a count of the network's calls.

    It stands for both sides of a guidance: solvers ask it as `Velocity`, and the guidance as `NetworkCalls`. `calls`
    counts calls, whatever their batch.
    """

    def __init__(self, path: ProbabilityPath, guidance: Guidance | None = None) -> None:
        self.path, self.guidance = path, guidance
        self.generator = Generator().manual_seed(0)
        self.calls = 0
        self.memory: dict[str, Any] = {}
        self._y: Tensor | None = None

    @property
    def y(self) -> Tensor | None:
        """The labels that the next calls are for."""
        return self._y

    @y.setter
    def y(self, labels: Tensor | None) -> None:
        self._y, self.memory = labels, {}

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        return self.conditional(x, t) if self.guidance is None else self.guidance.velocity(self, x, t)

    def conditional(self, x: Tensor, t: Tensor) -> Tensor:
        """Return cos(3x + t), for `x` `(batch, *shape)` and `t` `(batch,)`."""
        self.calls += 1
        return torch.cos(3 * x + expand(t, x))

    def unconditional(self, x: Tensor, t: Tensor) -> Tensor:
        """Return sin(2x + t), for `x` `(batch, *shape)` and `t` `(batch,)`."""
        self.calls += 1
        return torch.sin(2 * x + expand(t, x))

    def weaker(self, x: Tensor, t: Tensor) -> Tensor:
        """Return cos(2x + t), for `x` `(batch, *shape)` and `t` `(batch,)`."""
        self.calls += 1
        return torch.cos(2 * x + expand(t, x))


@torch.no_grad()
def network_calls(guidance: Guidance, solver: Solver, path: ProbabilityPath, times: Tensor) -> int:
    """Return how often a solver calls networks under guidance on `times` `(steps + 1,)`, which is run for it.

    Times are float32, as networks get them: whether a step is within an interval may hang on the last digit.
    """
    velocity = FreeVelocity(path, guidance)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        solver.integrate(velocity, torch.linspace(-1, 1, 2)[None], times)
    return velocity.calls
