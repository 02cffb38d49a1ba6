"""The beta grid: quantiles of a beta distribution."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor

from fmbench import Grid


class Beta(Grid):
    """The quantiles of Beta(alpha, beta) at i/N: below 1 there are more steps at the end whose exponent it is.

    Steps at an end fall as N^(-1/exponent): with 0.6 and 0.6 the first and the last are about 1.9 N^(-5/3) and the
    largest, in the middle, 1.4/N. An exponent above 1 makes the step at its end so long that solvers lose order: a
    method of order p has at most (p + 1)/exponent, and one that starts or ends with a step of Euler's 2/exponent.

    Args:
        alpha: exponent at t=0, above 0.
        beta: exponent at t=1, above 0.

    Source: Lee et al. 2024 (Beta Sampling is All You Need, arXiv:2407.12173), section 3, with 0.6 and 0.6.
    """

    reference = "Lee et al. 2024, Beta Sampling is All You Need (arXiv:2407.12173), section 3"
    distinct_steps = 1000

    def __init__(self, *, alpha: Annotated[float, Gt(0)] = 0.6, beta: Annotated[float, Gt(0)] = 0.6) -> None:
        self.alpha = alpha
        self.beta = beta

    def times(self, steps: int) -> Tensor:
        """Return float64 times `(steps + 1,)`, from exactly 0 to exactly 1."""
        from scipy.special import betaincinv

        u = torch.arange(steps + 1, dtype=torch.float64) / steps
        return torch.from_numpy(betaincinv(self.alpha, self.beta, u.numpy()))
