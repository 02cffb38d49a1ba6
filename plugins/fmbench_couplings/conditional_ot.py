"""The coupling by optimal transport that does not skew the source given the condition."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

import torch
from annotated_types import Ge, Gt, Le

from fmbench import Coupling
from fmbench_couplings._transport import cheapest_rows, cheapest_rows_within, squared_distances

if TYPE_CHECKING:
    from torch import Generator, Tensor

HEAVIEST = 1e8
"""The largest weight that is found for a ratio, as in the authors' code."""
ALIKE = 1e-12
"""Vectors that are no further apart are the same, but for rounding."""


class ConditionalOT(Coupling):
    """Minibatch OT with the cost |x_0 - x_1|^2 + weight d(y_0, y_1): C2OT for labels and for condition vectors.

    y_0 is the condition of the x_1 that an x_0 was drawn with, so it is independent of x_0, and every condition has as
    many x_0 as x_1. Of labels, d is 1 where they differ and else 0. With a weight above any gain from crossing, pairs
    stay within their class and the source given the label is the source, as a conditional model starts from it: m pairs
    that cross can be paired anew within their classes, which saves m weights and costs less than m times the largest
    squared distance, so that no crossing pays from that on, and every class is solved by itself. A weight of 0 is
    minibatch_ot, with its skew.

    Of vectors, d is 1 - cos(y_0, y_1), or their squared distance, and the weight is found for each batch: the largest
    with which the share `ratio` of all (i, j) has |x_0^i - x_1^j|^2 + weight d(y^i, y^j) <= |x_0^j - x_1^j|^2, so that
    each x_1 has few x_0 to gain by. A ratio near 0 leaves the pairs as they were drawn, a large one is minibatch_ot.

    Args:
        weight: what a pair of different labels costs, at least 0, in units of squared distance; of vectors, where
            `ratio` is null, what their distance d is multiplied by.
        pool: how many training batches are paired at once; the time grows faster than their number.
        distance: d of vectors. The cosine of a vector of one number is its sign: take "squared" there.
        ratio: the share of pairs, of vectors, by which the weight is found; null takes `weight` as it is.

    Source: Cheng and Schwing 2025 (The Curse of Conditions, C2OT, arXiv:2503.10636), section 3; the weight's condition
    as in the authors' code (github.com/hkchengrex/C2OT, search_for_w), where it is found by bisection.
    """

    reference = "Cheng and Schwing 2025, The Curse of Conditions (arXiv:2503.10636), section 3"
    requires = ("conditions",)
    draws = False

    def __init__(
        self,
        *,
        weight: Annotated[float, Ge(0)] = 1e6,
        pool: Annotated[int, Ge(1)] = 1,
        distance: Literal["cosine", "squared"] = "cosine",
        ratio: Annotated[float, Gt(0), Le(1)] | None = 0.05,
    ) -> None:
        self.weight = weight
        self.pool = pool
        self.distance = distance
        self.ratio = ratio

    def pair(
        self, x_0: Tensor, x_1: Tensor, y: Tensor | None, generator: Generator
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return `x_0` in the order of its partners, `x_1` and `y` as they are; nothing is drawn.

        `x_0` and `x_1` are `(batch, *shape)`, labels `(batch,)`, vectors `(batch, condition_width)`. Raises ValueError
        without conditions.
        """
        if y is None:
            raise ValueError("coupling conditional_ot pairs by condition, and was given none. Take minibatch_ot.")
        costs = squared_distances(x_0, x_1)
        if y.is_floating_point():
            apart = self._distances(y)
            weight = self.weight if self.ratio is None else weight_for(self.ratio, costs, apart)
            return x_0[cheapest_rows(costs + weight * apart)], x_1, y
        if self.weight >= costs.max():
            return x_0[cheapest_rows_within(costs, y)], x_1, y
        mismatch = (y[:, None] != y[None, :]).double()
        return x_0[cheapest_rows(costs + self.weight * mismatch)], x_1, y

    def _distances(self, y: Tensor) -> Tensor:
        """Return d between all vectors of `y` `(batch, condition_width)`, float64 `(batch, batch)`."""
        if self.distance == "squared":
            apart = squared_distances(y, y)
        else:
            unit = torch.nn.functional.normalize(y.double(), dim=1)
            apart = 1 - unit @ unit.T
        return torch.where(apart > ALIKE, apart, 0.0)


def weight_for(ratio: float, costs: Tensor, apart: Tensor) -> float:
    """Return the largest weight with which the share `ratio` of costs + weight apart is at most its column's own cost.

    `costs` are |x_0^i - x_1^j|^2 and `apart` distances of conditions, `(batch, batch)` both; a column's own cost is
    that on the diagonal. It is at least 0, and at most HEAVIEST, which also stands for infinity.
    """
    gains = costs.diagonal() - costs
    # Up to this weight an entry is cheap enough; where conditions are the same, whatever the weight, or never.
    limits = torch.where(apart > 0, gains / apart, torch.where(gains >= 0, math.inf, -math.inf))
    place = math.ceil(ratio * limits.numel())
    found = float(limits.flatten().kthvalue(limits.numel() - place + 1).values)
    return min(max(found, 0.0), HEAVIEST)
