"""The dark squares of a board of four by four."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from fmbench_datasets.points import PlanePoints, uniform

if TYPE_CHECKING:
    from torch import Generator, Tensor

SIDE = 1 / 0.45
ROUNDING = 1e-6
"""How far off a square, in sides, a point still counts as on its border: float32 is no more exact than that."""


class Checkerboard(PlanePoints):
    """Eight squares of a board of four by four, uniformly filled, at the scale of Meta's flow_matching examples.

    The board is centred at the origin and a square's side is 1/0.45, so points lie within 4.44 in each coordinate. The
    class of a point is its square: column by column from the left, the lower one first. The density is exact: uniform
    on the squares with their borders, and zero (a log-density of minus infinity) elsewhere.
    """

    reference = "Meta's flow_matching, examples/2d_flow_matching.ipynb (Lipman et al. 2024); FFJORD's checkerboard"
    provides = ("points", "classes", "density", "normal_source", "validation")
    classes = 8

    def draw(self, n: int, generator: Generator, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
        """Draw fresh points `(n, 2)` and their squares, int64 `(n,)`."""
        square = torch.randint(8, (n,), generator=generator, device=generator.device)
        column = square // 2
        row = column % 2 + 2 * (square % 2)
        within = torch.stack([uniform(n, generator, dtype), uniform(n, generator, dtype)], dim=1)
        return SIDE * (torch.stack([column, row], dim=1) - 2 + within), square

    def log_density(self, x: Tensor) -> Tensor:
        """Return the exact log-density at `x` `(batch, 2)`, in nats; minus infinity off the squares."""
        nudges = ROUNDING * torch.tensor([[1, 1], [1, -1], [-1, 1], [-1, -1]], dtype=x.dtype, device=x.device)
        squares = torch.floor((x / SIDE)[:, None] + nudges)  # (batch, 4, 2): a point on a border has up to four
        dark = (squares.sum(2) % 2 == 0) & (squares >= -2).all(2) & (squares <= 1).all(2)
        filled = torch.full_like(x[:, 0], -math.log(8 * SIDE**2))
        return torch.where(dark.any(1), filled, -math.inf)
