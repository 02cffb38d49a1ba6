"""Two interleaved half circles."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from fmbench_datasets.points import PlanePoints, uniform

if TYPE_CHECKING:
    from torch import Generator, Tensor

NOISE = 0.2
SCALE = 3.0
SHIFT = -1.0


class Moons(PlanePoints):
    """Two half circles, as torchcfm's `sample_moons` draws them: torchdyn's moons with noise 0.2, times 3, minus 1.

    The classes are torchdyn's: 0 for the outer moon, 1 for the inner one. torchdyn's noise is uniform on [0, 0.2] and
    the same in both coordinates, a shift along the diagonal; torchdyn also spaces the angles evenly, where this draws
    them uniformly, so that points are independent.
    """

    reference = "torchcfm.utils.sample_moons (Tong et al. 2023); torchdyn.datasets.generate_moons"
    provides = ("points", "classes", "normal_source", "validation")
    classes = 2

    def draw(self, n: int, generator: Generator, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
        """Draw fresh points `(n, 2)`, half of them (rounded down) on the outer moon, and their moons, int64 `(n,)`."""
        device = generator.device
        angle = math.pi * uniform(n, generator, dtype)
        noise = NOISE * uniform(n, generator, dtype)
        inner = (torch.arange(n, device=device) >= n // 2)[torch.randperm(n, generator=generator, device=device)]
        x = torch.where(inner, 1 - angle.cos(), angle.cos())
        y = torch.where(inner, 0.5 - angle.sin(), angle.sin())
        return SCALE * (torch.stack([x, y], dim=1) + noise[:, None]) + SHIFT, inner.long()
