"""Generated points in the plane: what such datasets share."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, Literal

import torch
from annotated_types import Ge

from fmbench import Dataset

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from fmbench import Mixture

Split = Literal["train", "test", "validation"]
SEEDS: dict[Split, int] = {"train": 20_210, "test": 20_211, "validation": 20_213}
"""The seed of each split's draws; later splits leave out what earlier ones hold."""


class PlanePoints(Dataset):
    """Points in the plane that are drawn from a known distribution, by `draw`.

    Args:
        size: training points; test and validation split have a quarter as many each.
    """

    shape = (2,)

    def __init__(self, *, size: Annotated[int, Ge(1)] = 20_000) -> None:
        self.size = size

    @abstractmethod
    def draw(self, n: int, generator: Generator, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
        """Draw fresh points `(n, 2)` and labels, int64 `(n,)`, or condition vectors, on the generator's device.

        The labels are all 0 where the points have no classes. Vectors are float32 `(n, condition_width)`.
        """

    def load(self, split: Split) -> tuple[Tensor, Tensor | None]:
        """Return points, float32 `(n, 2)`, and their classes, int64 `(n,)`, or condition vectors, or None without.

        The splits are independent draws, each from a generator of its own with a fixed seed.
        """
        x, y = self._drawn(split)
        return x, y if self.classes or self.condition_width else None

    def _drawn(self, split: Split) -> tuple[Tensor, Tensor]:
        """Return points, float32 `(n, 2)`, and labels of a split, none of which is in a split before it in `SEEDS`."""
        generator = torch.Generator().manual_seed(SEEDS[split])
        x, y = self.draw(self.size if split == "train" else max(1, self.size // 4), generator)
        x = x.float()
        before = [self._drawn(other)[0] for other in list(SEEDS)[: list(SEEDS).index(split)]]
        if not before:
            return x, y
        # In float32 a few draws of a curve coincide; two float32 numbers make one int64, by which rows are compared.
        others = torch.cat(before).view(torch.int64)
        while (shared := torch.isin(x.view(torch.int64), others).flatten()).any():
            fresh, y[shared] = self.draw(int(shared.sum()), generator)
            x[shared] = fresh.float()
        return x, y


class MixturePoints(PlanePoints):
    """Points of a mixture of Gaussians, which is kept as `_mixture`; the label is the Gaussian that made the point."""

    _mixture: Mixture

    def draw(self, n: int, generator: Generator, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
        """Draw fresh points `(n, 2)` and the Gaussians that they come from, int64 `(n,)`."""
        return self._mixture.sample_labelled(n, generator, dtype)

    def log_density(self, x: Tensor) -> Tensor:
        """Return the exact log-density at `x` `(batch, 2)`, in nats."""
        return self._mixture.log_density(x)

    def mixture(self) -> Mixture:
        """Return the Gaussians."""
        return self._mixture


def uniform(n: int, generator: Generator, dtype: torch.dtype) -> Tensor:
    """Draw numbers `(n,)` uniformly from [0, 1), on the generator's device."""
    return torch.rand(n, dtype=dtype, generator=generator, device=generator.device)
