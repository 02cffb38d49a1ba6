"""Points on a sine curve."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

import torch
from annotated_types import Ge

from fmbench import Dataset
from fmbench_datasets.splits import drawn

if TYPE_CHECKING:
    from torch import Generator, Tensor


class Sine(Dataset):
    """Points exactly on y = sin x, with x uniform over [0, 4 pi]; the source is 2N(0, I).

    "2N(0, I)" is read as twice a standard normal: standard deviation 2 in each coordinate, variance 4.

    Args:
        size: training points; the test split has a quarter as many.
    """

    reference = "fmbench's design, mathematics.md (the flow-matching tutorials' sine)"
    provides = ("points",)
    shape = (2,)

    def __init__(self, *, size: Annotated[int, Ge(1)] = 20_000) -> None:
        self.size = size

    def load(self, split: Literal["train", "test"]) -> tuple[Tensor, Tensor | None]:
        """Return points, float32 `(n, 2)`."""
        return drawn(_draw, self.size, split), None

    def source(self, n: int, generator: Generator) -> Tensor:
        """Draw twice a standard normal, float32 `(n, 2)` on the generator's device."""
        return 2 * super().source(n, generator)


def _draw(n: int, generator: Generator) -> Tensor:
    """Draw float64 points `(n, 2)`."""
    x = 4 * math.pi * torch.rand(n, dtype=torch.float64, generator=generator)
    return torch.stack([x, x.sin()], dim=1)
