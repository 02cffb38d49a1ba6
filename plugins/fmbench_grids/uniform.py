"""The uniform grid: steps of one size."""

from __future__ import annotations

import torch
from torch import Tensor

from fmbench import Grid


class Uniform(Grid):
    """Times i/N for i = 0..N: all steps have the same size, as in the first flow-matching papers.

    The first and the last step are 1/N too: ln(alpha/sigma), in which the solvers of a diffusion form step, moves by
    about 1/j in the j-th step from either end, however large N is.
    """

    reference = "Lipman et al. 2023, Flow Matching for Generative Modeling (arXiv:2210.02747)"
    distinct_steps = 1000

    def times(self, steps: int) -> Tensor:
        """Return float64 times `(steps + 1,)`, each the double nearest to i/N."""
        return torch.arange(steps + 1, dtype=torch.float64) / steps
