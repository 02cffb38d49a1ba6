"""Two interleaved half circles."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

import torch
from annotated_types import Ge

from fmbench import Dataset
from fmbench_datasets.splits import drawn

if TYPE_CHECKING:
    from torch import Generator, Tensor

NOISE = 0.2
SCALE = 3.0
SHIFT = -1.0


class Moons(Dataset):
    """Two half circles, as torchcfm's `sample_moons` draws them: torchdyn's moons with noise 0.2, times 3, minus 1.

    torchdyn's noise is uniform on [0, 0.2] and the same in both coordinates, a shift along the diagonal; torchdyn also
    spaces the angles evenly, where this draws them uniformly, so that points are independent.

    Args:
        size: training points; the test split has a quarter as many.
    """

    reference = "torchcfm.utils.sample_moons (Tong et al. 2023); torchdyn.datasets.generate_moons"
    provides = ("points", "normal_source")
    shape = (2,)

    def __init__(self, *, size: Annotated[int, Ge(1)] = 20_000) -> None:
        self.size = size

    def load(self, split: Literal["train", "test"]) -> tuple[Tensor, Tensor | None]:
        """Return points, float32 `(n, 2)`."""
        return drawn(_draw, self.size, split), None


def _draw(n: int, generator: Generator) -> Tensor:
    """Draw float64 points `(n, 2)`, half of them (rounded down) on the outer moon."""
    angle = math.pi * torch.rand(n, dtype=torch.float64, generator=generator)
    noise = NOISE * torch.rand(n, 1, dtype=torch.float64, generator=generator)
    outer = (torch.arange(n) < n // 2)[torch.randperm(n, generator=generator)]
    x = torch.where(outer, angle.cos(), 1 - angle.cos())
    y = torch.where(outer, angle.sin(), 0.5 - angle.sin())
    return SCALE * (torch.stack([x, y], dim=1) + noise) + SHIFT
