"""Flow snapshots: what a trained cell on points in the plane does to noise, kept in the store for figures."""

from __future__ import annotations

import torch
from safetensors.torch import save as safetensors_bytes
from torch import Tensor

from fmbench.components.conditions import no_condition, some_conditions
from fmbench.model.trained_model import Trained
from fmbench.model.velocity import ModelVelocity
from fmbench.store.cell_folder import CellFolder

PARTICLES = 1000
STEPS = 48
"""Steps of the midpoint rule, which asks for no velocity at t=1, where some parametrisations are singular."""
KEPT = 2
"""Every so many states of a trajectory are kept."""
FIELD_TIMES = 11
LAST = 1 - 1 / (2 * STEPS)
"""The last time of the field, for the same reason."""
ARROWS, CELLS = 13, 101
"""Points along the longer side of the grids of the field and of the density."""
FILE = "portrait.safetensors"


@torch.no_grad()
def take_flow_snapshot(trained: Trained, folder: CellFolder) -> None:
    """Leave the flow snapshot of a trained cell in a folder; for a dataset that is not 2-D, or a model with a space
    of its own, the word that there is none.

    The file holds, float32: `times (T,)` and `paths (T, n, 2)`, the trajectories of the first evaluation noise, finely
    integrated; `field_times (F,)`, `x (w,)`, `y (h,)` and `field (F, h, w, 2)`, the velocity on a grid that covers
    source and data; where the dataset knows its density, `density_x (w',)`, `density_y (h',)` and `log_density
    (h', w')`. Conditions, where the network takes them, are those that samples are drawn for; the field is that of no
    condition, and absent where no training step has seen it.
    """
    context, cell = trained.context, trained.cell
    if tuple(trained.parts.dataset.shape) != (2,) or trained.state_shape is not None:
        folder.finish({}, ())
        return
    x_0, velocity = trained.source(0, PARTICLES), trained.velocity()
    data, _ = context.data(cell.dataset, "test")
    velocity.y = trained.labels(0, PARTICLES)
    tensors = dict(zip(("times", "paths"), trajectories(velocity, x_0), strict=True))
    if not trained.parts.is_conditional or cell.settings["label_dropout"] > 0:
        tensors |= field(velocity, *axes(torch.stack([*_span(x_0), *_span(data)]), ARROWS))
    tensors |= density(trained, data)
    kept = {name: tensor.to("cpu", torch.float32).contiguous() for name, tensor in tensors.items()}
    folder.write(FILE, safetensors_bytes(kept))
    folder.finish({}, (FILE,))


def trajectories(velocity: ModelVelocity, x_0: Tensor) -> tuple[Tensor, Tensor]:
    """Return times `(T,)` and the states at them `(T, n, 2)`, by the midpoint rule from `x_0`."""
    x, h, states = x_0, 1 / STEPS, [x_0]
    for step in range(STEPS):
        now = torch.full_like(x[:, 0], step * h)
        middle = x + 0.5 * h * velocity(x, now)
        x = x + h * velocity(middle, now + 0.5 * h)
        if (step + 1) % KEPT == 0:
            states.append(x)
    return torch.linspace(0, 1, len(states)), torch.stack(states)


def field(velocity: ModelVelocity, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """Return the velocity at the points of a grid, for no condition where the network takes conditions.

    The grid is `x` `(w,)` and `y` `(h,)`; found are `field_times (F,)`, `x`, `y` and `field (F, h, w, 2)`.
    """
    points = torch.cartesian_prod(y, x).flip(1)
    parts = velocity.parts
    given = some_conditions(len(points), parts.classes, parts.condition_width, x.device)
    velocity.y = None if given is None else no_condition(given, parts.classes)
    times = torch.linspace(0, 1, FIELD_TIMES).clamp(max=LAST)
    found = torch.stack([velocity(points, torch.full_like(points[:, 0], float(t))) for t in times])
    return {"field_times": times, "x": x, "y": y, "field": found.reshape(len(times), len(y), len(x), 2)}


def density(trained: Trained, data: Tensor) -> dict[str, Tensor]:
    """Return the exact log-density of the data on a grid around it; nothing where the dataset does not know it.

    For `data` `(n, 2)` that is `density_x (w,)`, `density_y (h,)` and `log_density (h, w)`.
    """
    x, y = axes(torch.stack([data.min(0).values, data.max(0).values]), CELLS, margin=0.2)
    points = torch.cartesian_prod(y, x).flip(1)
    found = trained.parts.dataset.log_density(points)
    if found is None:
        return {}
    return {"density_x": x, "density_y": y, "log_density": found.reshape(len(y), len(x))}


def axes(corners: Tensor, longest: int, margin: float = 0.1) -> tuple[Tensor, Tensor]:
    """Return evenly spaced `x (w,)` and `y (h,)` that cover points `(n, 2)` and a margin; the longer has `longest`."""
    low, high = corners.min(0).values, corners.max(0).values
    size = (high - low).clamp_min(1e-3)
    low, size = low - margin * size, (1 + 2 * margin) * size
    counts = [max(2, round(longest * float(side / size.max()))) for side in size]
    x, y = (torch.linspace(float(a), float(a + s), n) for a, s, n in zip(low, size, counts, strict=True))
    return x.to(corners.device), y.to(corners.device)


def _span(points: Tensor) -> tuple[Tensor, Tensor]:
    """Return the corners of a box that holds all but a few outlying points."""
    return torch.quantile(points, 0.005, dim=0), torch.quantile(points, 0.995, dim=0)
