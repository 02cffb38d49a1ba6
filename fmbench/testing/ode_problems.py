"""Ordinary differential equations with known solutions, and the grids on which solvers are measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from fmbench.cells.component_spec import is_own
from fmbench.components.contracts import Grid
from fmbench.plugins.registry import load_registry


@dataclass(frozen=True)
class ODEProblem:
    """dx/dt = velocity(x, t) from t=0 to t=1, started at `x_0` `(batch, dim)`, with the exact `solution` at t=1."""

    name: str
    velocity: Callable[[Tensor, Tensor], Tensor]
    x_0: Tensor
    solution: Callable[[Tensor], Tensor]


def _decay(x: Tensor, t: Tensor) -> Tensor:
    return -(0.5 + 2 * t)[:, None] * x


def _decayed(x_0: Tensor) -> Tensor:
    return x_0 * math.exp(-1.5)


def _turn(x: Tensor, t: Tensor) -> Tensor:
    return 2 * torch.stack([-x[:, 1], x[:, 0]], dim=1)


def _turned(x_0: Tensor) -> Tensor:
    cos, sin = math.cos(2), math.sin(2)
    return torch.stack([cos * x_0[:, 0] - sin * x_0[:, 1], sin * x_0[:, 0] + cos * x_0[:, 1]], dim=1)


def _grow(x: Tensor, t: Tensor) -> Tensor:
    return (1 + 2 * torch.cos(3 * t))[:, None] * x * (1 - x)


def _grown(x_0: Tensor) -> Tensor:
    return torch.sigmoid(torch.logit(x_0) + 1 + 2 * math.sin(3) / 3)


PROBLEMS = (
    ODEProblem("decay with a growing rate", _decay, torch.tensor([[1.0], [-0.7], [2.5]]).double(), _decayed),
    ODEProblem("rotation", _turn, torch.tensor([[1.0, 0.2], [-0.5, 0.8], [0.1, -1.5]]).double(), _turned),
    ODEProblem("logistic growth with a varying rate", _grow, torch.tensor([[0.2], [0.5], [0.8]]).double(), _grown),
)
"""A linear problem that depends on time, an oscillating system, and a nonlinear problem that depends on time."""


def uniform_times(steps: int) -> Tensor:
    """Return float64 times with steps of one size, `(steps + 1,)`."""
    return torch.arange(steps + 1, dtype=torch.float64) / steps


@cache
def grids() -> Mapping[str, Grid]:
    """Return the grids that come with fmbench, by name, with their default parameters."""
    registry = load_registry()
    own = [entry.name for entry in registry.entries("grid") if is_own(entry.owner)]
    return {name: registry.build(registry.spec("grid", name)) for name in own}  # type: ignore[misc]
