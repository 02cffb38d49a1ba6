"""The coupling by optimal transport within a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge

from fmbench import Coupling
from fmbench_couplings._transport import cheapest_rows, squared_distances

if TYPE_CHECKING:
    from torch import Generator, Tensor


class MinibatchOT(Coupling):
    """Pairs a batch so that the sum of |x_0 - x_1|^2 is the least of all permutations: OT-CFM.

    torchcfm draws pairs from the plan with replacement; here each example stays in the batch once. Labels are not
    looked at, so that the source given a label is no longer the source: conditional_ot is for conditional models.

    Args:
        pool: how many training batches are paired at once; the more, the nearer to the optimal plan of the
            distributions. The time grows faster than their number.

    Source: Tong et al. 2024 (arXiv:2302.00482), section 3.2.3; Pooladian et al. 2023 (arXiv:2304.14772), section 3.
    """

    reference = "Tong et al. 2024, Minibatch Optimal Transport (arXiv:2302.00482), section 3.2.3"
    draws = False

    def __init__(self, *, pool: Annotated[int, Ge(1)] = 1) -> None:
        self.pool = pool

    def pair(
        self, x_0: Tensor, x_1: Tensor, y: Tensor | None, generator: Generator
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return `x_0` in the order of its partners, `x_1` and `y` as they are; nothing is drawn.

        `x_0` and `x_1` are `(batch, *shape)`, labels `(batch,)` or None.
        """
        return x_0[cheapest_rows(squared_distances(x_0, x_1))], x_1, y
