"""The independent coupling: source and data are paired as they were drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmbench import Coupling

if TYPE_CHECKING:
    from torch import Generator, Tensor


class Independent(Coupling):
    """Pairs x_0 and x_1 as they were drawn: q(x_0, x_1) = p(x_0) q(x_1).

    Source: Lipman et al. 2023 (arXiv:2210.02747); named by Tong et al. 2024 (arXiv:2302.00482), section 3.2.
    """

    provides = ("independent",)
    reference = "Tong et al. 2024, Minibatch Optimal Transport (arXiv:2302.00482), section 3.2"

    def pair(
        self, x_0: Tensor, x_1: Tensor, y: Tensor | None, generator: Generator
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return `x_0`, `x_1` and `y` themselves; nothing is drawn.

        `x_0` and `x_1` are `(batch, *shape)`, labels `(batch,)` or None.
        """
        return x_0, x_1, y
