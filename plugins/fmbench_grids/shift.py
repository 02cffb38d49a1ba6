"""The shifted grid: a uniform grid seen at another signal-to-noise ratio."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor

from fmbench import Grid


class Shift(Grid):
    """Times t/(s - (s-1) t) of uniform t: the noise-to-data ratio of the linear path is multiplied by s everywhere.

    Above 1 there are more steps at the noise, as Stable Diffusion 3 takes them for large images; 1 is uniform. Of N
    steps the first is about 1/(sN) and the last about s/N.

    Args:
        s: the shift, above 0.

    Source: Esser et al. 2024 (Stable Diffusion 3, arXiv:2403.03206), eq. 23, in data time.
    """

    reference = "Esser et al. 2024, Scaling Rectified Flow Transformers (arXiv:2403.03206), eq. 23"
    distinct_steps = 1000

    def __init__(self, *, s: Annotated[float, Gt(0)] = 3.0) -> None:
        self.s = s

    def times(self, steps: int) -> Tensor:
        """Return float64 times `(steps + 1,)`, from exactly 0 to exactly 1."""
        t = torch.arange(steps + 1, dtype=torch.float64) / steps
        # s (1-t) + t is s - (s-1) t, and exactly 1 at t=1.
        return t / (self.s * (1 - t) + t)
