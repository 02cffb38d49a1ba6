"""The coupling by optimal transport that does not skew the source given the label."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge

from fmbench import Coupling
from fmbench_couplings._transport import cheapest_rows, cheapest_rows_within, squared_distances

if TYPE_CHECKING:
    from torch import Generator, Tensor


class ConditionalOT(Coupling):
    """Minibatch OT with the cost |x_0 - x_1|^2 + weight [y_0 != y_1]: C2OT for labels.

    y_0 is the label of the x_1 that an x_0 was drawn with, so it is independent of x_0, and a class has as many x_0 as
    x_1. With a weight above any gain from crossing, pairs stay within their class and the source given the label is the
    source, as a conditional model starts from it: m pairs that cross can be paired anew within their classes, which
    saves m weights and costs less than m times the largest squared distance, so that no crossing pays from that on, and
    every class is solved by itself. A weight of 0 is minibatch_ot, with its skew.

    Args:
        weight: what a pair of different labels costs, at least 0, in units of squared distance.
        pool: how many training batches are paired at once; the time grows faster than their number.

    Source: Cheng and Schwing 2025 (The Curse of Conditions, C2OT, arXiv:2503.10636), section 3.
    """

    reference = "Cheng and Schwing 2025, The Curse of Conditions (arXiv:2503.10636), section 3"
    requires = ("classes",)
    draws = False

    def __init__(self, *, weight: Annotated[float, Ge(0)] = 1e6, pool: Annotated[int, Ge(1)] = 1) -> None:
        self.weight = weight
        self.pool = pool

    def pair(
        self, x_0: Tensor, x_1: Tensor, y: Tensor | None, generator: Generator
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return `x_0` in the order of its partners, `x_1` and `y` as they are; nothing is drawn.

        `x_0` and `x_1` are `(batch, *shape)`, labels `(batch,)`. Raises ValueError without labels.
        """
        if y is None:
            raise ValueError("coupling conditional_ot pairs by label, and was given none. Take minibatch_ot.")
        costs = squared_distances(x_0, x_1)
        if self.weight >= costs.max():
            return x_0[cheapest_rows_within(costs, y)], x_1, y
        mismatch = (y[:, None] != y[None, :]).double()
        return x_0[cheapest_rows(costs + self.weight * mismatch)], x_1, y
