"""Means over pairs of points, of whatever is asked of their squared distance."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    Kernel = Callable[[Tensor], Tensor]
    """Maps squared distances to values, elementwise."""

PAIRS = {"cpu": 2**18, "other": 2**24}
"""Pairs that are in memory at once: as many as a CPU's cache holds, and more where each block costs a launch."""


def mean_between(kernel: Kernel, x: Tensor, y: Tensor) -> float:
    """Return the mean over all pairs of a point of `x` `(n, dim)` and one of `y` `(m, dim)`, in float64."""
    x, y = x.double(), y.double()
    total = x.new_zeros(())
    for rows in torch.split(x, _block(y)):
        total += kernel(squared_distances(rows, y)).sum()
    return float(total) / (len(x) * len(y))


def mean_within(kernel: Kernel, x: Tensor) -> float:
    """Return the mean over all pairs of two different points of `x` `(n, dim)`, in float64."""
    x = x.double()
    total, size = x.new_zeros(()), _block(x)
    for first in range(0, len(x), size):
        # Each pair once: what lies on and below the diagonal is left out.
        total += kernel(squared_distances(x[first : first + size], x[first:])).triu(diagonal=1).sum()
    return 2 * float(total) / (len(x) * (len(x) - 1))


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """Return the squared Euclidean distances `(n, m)`, float64, of points `(n, dim)` and `(m, dim)`."""
    return torch.cdist(x.double(), y.double()).square()


def _block(x: Tensor) -> int:
    """Return how many rows of pairs with all points of `x` are made at once."""
    return max(1, PAIRS["cpu" if x.device.type == "cpu" else "other"] // len(x))
