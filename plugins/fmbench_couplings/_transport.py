"""What the couplings by optimal transport share: the cost, the exact assignment, and Sinkhorn's iterations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from torch import Tensor

STRETCH = 10
"""Iterations of `scale` at a time."""
SOFT = 0.25
"""A regularisation, in units of the costs' spread, at which that many iterations come close."""
LARGE = 100
"""Rows from which on potentials save more time than they take."""


def squared_distances(x_0: Tensor, x_1: Tensor) -> Tensor:
    """Return |x_0^i - x_1^j|^2 in float64, `(batch, batch)`: i counts rows, j columns."""
    return torch.cdist(x_0.flatten(1).double(), x_1.flatten(1).double()).square()


def spread(costs: Tensor) -> float:
    """Return the root mean square of `costs` `(batch, batch)` less the means of rows and columns.

    Those change no plan, so that this is the scale of the differences on which a plan depends.
    """
    rest = costs - costs.mean(0, keepdim=True) - costs.mean(1, keepdim=True) + costs.mean()
    return float(rest.square().mean().sqrt())


def cheapest_rows(costs: Tensor) -> Tensor:
    """Return, for each column of `costs` `(batch, batch)`, the row that the cheapest permutation gives it, `(batch,)`.

    Exact, by the shortest augmenting paths of scipy on the CPU. They get short where potentials, which change no
    permutation's rank, have been taken off the costs: those of a soft plan, which cost little. They are as large as the
    largest costs, and round the differences of others away where these are some 1e16 times smaller.
    """
    if len(costs) >= LARGE and (strength := SOFT * spread(costs)) > 0:
        f, g, _ = scale(costs, *first_potentials(costs), strength)
        costs = costs - f[:, None] - g
    return torch.from_numpy(_assigned(costs.cpu().numpy())).to(costs.device)


def _assigned(costs: np.ndarray) -> np.ndarray:
    """Return, for each column of a square matrix, the row that the cheapest permutation gives it."""
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(costs)
    assert len(rows) == len(costs)
    return columns.argsort()


def cheapest_rows_within(costs: Tensor, groups: Tensor) -> Tensor:
    """Return what `cheapest_rows` does of the permutations that keep rows and columns of a group together.

    `groups` `(batch,)` are the numbers of the groups, of rows and columns alike.
    """
    order = groups.argsort(stable=True)
    sizes = groups[order].unique_consecutive(return_counts=True)[1].tolist()
    together = costs[order][:, order]
    on_cpu = together.cpu().numpy()  # at once: there may be hundreds of small groups
    found, first = [], 0
    for size in sizes:
        block = slice(first, first + size)
        if size < LARGE:
            found.append(first + _assigned(on_cpu[block, block]))
        else:
            found.append(first + cheapest_rows(together[block, block]).cpu().numpy())
        first += size
    rows = torch.empty_like(order)
    rows[order] = order[torch.from_numpy(np.concatenate(found)).to(order.device)]
    return rows


def first_potentials(costs: Tensor) -> tuple[Tensor, Tensor]:
    """Return `f` of rows and `g` of columns, `(batch,)`, that leave no cost negative and a zero everywhere."""
    f = costs.amin(1)
    return f, (costs - f[:, None]).amin(0)


def kernel(costs: Tensor, f: Tensor, g: Tensor, strength: float) -> Tensor:
    """Return exp((f + g - costs)/strength), `(batch, batch)`: batch times the plan, where the potentials are right."""
    return torch.exp((f[:, None] + g - costs) / strength)


def scale(costs: Tensor, f: Tensor, g: Tensor, strength: float) -> tuple[Tensor, Tensor, float]:
    """Improve the potentials of the entropic plan by some iterations; return them and the plan's error.

    The columns of the plan sum to 1/batch afterwards; the error is the total variation of its rows.

    Source: Cuturi 2013 (arXiv:1306.0895), algorithm 1.
    """
    weights = kernel(costs, f, g, strength)
    v = torch.ones_like(g)
    for _ in range(STRETCH):
        u = 1 / (weights @ v)
        v = 1 / (u @ weights)
    error = (u * (weights @ v) - 1).abs().mean() / 2
    return f + strength * u.log(), g + strength * v.log(), float(error)
