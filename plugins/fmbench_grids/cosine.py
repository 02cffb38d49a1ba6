"""The cosine grid: small steps first."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fmbench import Grid


class Cosine(Grid):
    """Times 1 - cos(pi u/2) of uniform u: steps grow from almost nothing at the noise to pi/(2N) at the data.

    Of N steps the first is about pi^2/8 N^-2 and the last, the largest, pi/(2N).

    Source: Chen et al. 2024 (F5-TTS, arXiv:2410.06885), sway sampling u + s (cos(pi u/2) - 1 + u) with its s = -1.
    """

    reference = "Chen et al. 2024, F5-TTS (arXiv:2410.06885), sway sampling with s = -1"
    distinct_steps = 1000

    def times(self, steps: int) -> Tensor:
        """Return float64 times `(steps + 1,)`, from exactly 0 to exactly 1."""
        u = torch.arange(steps + 1, dtype=torch.float64) / steps
        times = 2 * torch.sin(math.pi / 4 * u).square()  # 1 - cos without cancellation
        times[-1] = 1.0  # sin^2 of the rounded pi/4 is not 1/2
        return times
