"""fmbench's training with a clock on its steps, and the loop that tutorials print: both sides of several benchmarks."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from helpers import SETTINGS, context, training_cell
from torch import Tensor, nn

from benchmarks.clock import StepClock
from fmbench.cells.cells import TrainingCell
from fmbench.plugins.registry import Registry
from fmbench.runtime.device import synchronise
from fmbench.training.loop import train

PATHS = ("linear", "cosine", "vp", "polynomial")
T_DISTRIBUTIONS = ("uniform", "u_shaped")
SEEDS = 4
MEMBERS = len(PATHS) * len(T_DISTRIBUTIONS) * SEEDS
ADAM: dict[str, Any] = {"name": "adam", "lr": 1e-3, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0}

Step = Callable[[nn.Module, Tensor], Tensor]
"""The loss of a network on a batch of data `(batch, *shape)`."""


def cells_of(
    registry: Registry, steps: int, batch: int, network: tuple[str, dict[str, Any]], **more: Any
) -> list[TrainingCell]:
    """Return 32 cells of one shape: 4 paths x 2 t-distributions x 4 seeds; Adam, with a moving average."""
    settings = {**SETTINGS, "steps": steps, "batch_size": batch, "optimizer": ADAM, **more.pop("settings", {})}
    return [
        training_cell(registry, seed, settings, path=path, t_distribution=t_distribution, network=network, **more)
        for path in PATHS
        for t_distribution in T_DISTRIBUTIONS
        for seed in range(SEEDS)
    ]


def fmbench_step(cells: Sequence[TrainingCell], registry: Registry, device: str) -> float:
    """Return the seconds a step and member of training cells together, into an empty store."""
    clock = StepClock()
    with tempfile.TemporaryDirectory() as folder:
        train(cells, context(Path(folder), registry, device=device), clock)
    return clock.seconds_a_step


def moons(registry: Registry, device: str) -> Tensor:
    """Return the points that all these trainings learn, `(n, 2)`."""
    x, _ = registry.build(registry.spec("dataset", "moons", {"size": 500})).load("train")
    return x.to(device)


def tutorial_mlp(width: int, depth: int) -> nn.Module:
    """Return the network of the tutorials, for a point and the time in one tensor."""
    hidden = [layer for _ in range(depth - 1) for layer in (nn.Linear(width, width), nn.SiLU())]
    return nn.Sequential(nn.Linear(3, width), nn.SiLU(), *hidden, nn.Linear(width, 2))


def tutorial_loss(model: nn.Module, x_1: Tensor) -> Tensor:
    """Return the flow-matching loss as tutorials write it, for a straight path and a uniform t."""
    x_0 = torch.randn_like(x_1)
    t = torch.rand(len(x_1), 1, device=x_1.device)
    x_t = t * x_1 + (1 - t) * x_0
    return ((model(torch.cat([x_t, t], dim=1)) - (x_1 - x_0)) ** 2).mean()


def plain_step(model: nn.Module, data: Tensor, steps: int, batch: int, loss_of: Step, warm_up: int = 0) -> float:
    """Return the seconds a step of the plain loop: a batch at random, zero_grad, backward, Adam's step; nothing else.

    Steps of the warm-up come first and do not count.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    started = time.perf_counter()
    for step in range(warm_up + steps):
        if step == warm_up:
            synchronise(data.device.type)
            started = time.perf_counter()
        x_1 = data[torch.randint(0, len(data), (batch,), device=data.device)]
        loss = loss_of(model, x_1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    synchronise(data.device.type)
    return (time.perf_counter() - started) / steps
