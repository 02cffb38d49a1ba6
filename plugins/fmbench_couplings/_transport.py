"""What the couplings by optimal transport share: the cost, and the exact assignment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def squared_distances(x_0: Tensor, x_1: Tensor) -> Tensor:
    """Return |x_0^i - x_1^j|^2 in float64, `(batch, batch)`: i counts rows, j columns."""
    return torch.cdist(x_0.flatten(1).double(), x_1.flatten(1).double()).square()


def cheapest_rows(costs: Tensor) -> Tensor:
    """Return, for each column of `costs` `(batch, batch)`, the row that the cheapest permutation gives it, `(batch,)`.

    Exact, by the shortest augmenting paths of scipy on the CPU; about 5 ms for a batch of 256.
    """
    from scipy.optimize import linear_sum_assignment

    columns, rows = linear_sum_assignment(costs.T.cpu().numpy())
    assert len(columns) == len(costs)
    return torch.from_numpy(rows).to(costs.device)
