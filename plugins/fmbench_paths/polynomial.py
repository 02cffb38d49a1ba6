"""The polynomial path: straight lines, travelled ever faster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge

from fmbench import AffinePath

if TYPE_CHECKING:
    from torch import Tensor


class Polynomial(AffinePath):
    """x_t = t^n x_1 + (1-t^n) x_0: the linear path's lines, at the speed n t^(n-1).

    With n=1 this is the linear path. Below 1 the speed would have a pole at t=0, and is refused.

    Args:
        n: the exponent, at least 1.

    Source: Meta's flow_matching library, `PolynomialConvexScheduler` (Lipman et al. 2024, arXiv:2412.06264).
    """

    reference = "Lipman et al. 2024, Flow Matching Guide and Code (arXiv:2412.06264), PolynomialConvexScheduler"

    def __init__(self, *, n: Annotated[float, Ge(1)] = 2.0) -> None:
        self.n = n

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return `t^n`, `1-t^n`, `n t^(n-1)` and its negative, each of the shape of `t`."""
        alpha_t = t**self.n
        d_alpha_t = self.n * t ** (self.n - 1)
        return alpha_t, 1 - alpha_t, d_alpha_t, -d_alpha_t
