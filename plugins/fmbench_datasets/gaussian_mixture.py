"""The three-component Gaussian mixture of the tutorials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import torch
from annotated_types import Ge

from fmbench import Dataset, Mixture
from fmbench_datasets.splits import drawn

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS = (0.3, 0.5, 0.2)
MEANS = ((-2.0, -1.0), (1.0, 3.0), (4.0, -2.0))
COVARIANCES = (((0.5, 0.1), (0.1, 0.4)), ((0.6, -0.2), (-0.2, 0.5)), ((0.4, 0.0), (0.0, 0.6)))


class GaussianMixture(Dataset):
    """Three Gaussians in the plane, with the exact density; the label is not part of the data.

    Args:
        size: training points; the test split has a quarter as many.
    """

    reference = "fmbench's design, mathematics.md (the flow-matching tutorials' mixture)"
    provides = ("points", "density", "mixture", "normal_source")
    shape = (2,)

    def __init__(self, *, size: Annotated[int, Ge(1)] = 20_000) -> None:
        self.size = size
        self._mixture = Mixture(*(torch.tensor(a, dtype=torch.float64) for a in (WEIGHTS, MEANS, COVARIANCES)))

    def load(self, split: Literal["train", "test"]) -> tuple[Tensor, Tensor | None]:
        """Return points, float32 `(n, 2)`."""
        return drawn(self._mixture.sample, self.size, split), None

    def log_density(self, x: Tensor) -> Tensor:
        """Return the exact log-density at `x` `(batch, 2)`, in nats."""
        return self._mixture.log_density(x)

    def mixture(self) -> Mixture:
        """Return the three Gaussians."""
        return self._mixture
