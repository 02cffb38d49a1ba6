"""The kernel distance (MMD^2) between the features of samples and of real data, for any extractor."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from annotated_types import Ge

from fmbench import DataError
from fmbench_metrics.feature_metric import FeatureMetric

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench import Evidence

SUBSET_SIZE = 1000
SEED = 2020
"""torch-fidelity's default, so that the subsets are those that it draws."""
BLOCK = 4096


class KernelDistance(FeatureMetric):
    """KID with the extractor of a subclass: the mean unbiased MMD^2 over random subsets of 1,000.

    The kernel is k(x, y) = (x.y/d + 1)^3. The subsets, and with them the value, are those of torch-fidelity.
    `<name>_std` is the standard deviation over subsets: it says how much one subset tells and is no error bar of the
    mean.

    Args:
        reference: the split of real data that samples are compared with; it needs 1,000 pictures.
        subsets: random subsets over which the distance is averaged.
    """

    reference = "Binkowski et al. 2018, section 4; torch-fidelity's kid_features_to_metric"
    minimum_samples = 1000

    def __init__(self, *, reference: Literal["train", "test"] = "train", subsets: Annotated[int, Ge(1)] = 100) -> None:
        super().__init__(reference=reference)
        self.subsets = subsets

    def compute(self, evidence: Evidence) -> Mapping[str, float]:
        """Return mean and standard deviation. Raises DataError where a set is smaller than a subset."""
        samples, reference = (each.features for each in self.features(evidence))
        for name, found in (("samples", samples), (f"pictures in the {self.split} split", reference)):
            if len(found) < SUBSET_SIZE:
                raise DataError(f"KID needs at least {SUBSET_SIZE} {name}; found {len(found)}.")
        distances = subset_distances(samples, reference, self.subsets, SUBSET_SIZE)
        return {
            self.value_name: float(distances.mean()),
            f"{self.value_name}_std": float(distances.std(correction=0)),
        }

    def identity(self, evidence: Evidence) -> Mapping[str, Any]:
        """Return extractor, reference set, sample count, subsets, quantiser and versions."""
        return {**super().identity(evidence), "subsets": self.subsets, "subset_size": SUBSET_SIZE, "subset_seed": SEED}


def subset_distances(x: Tensor, y: Tensor, subsets: int, size: int = SUBSET_SIZE, seed: int = SEED) -> Tensor:
    """Return the unbiased MMD^2 `(subsets,)`, float64, of random subsets of features `x` `(n, d)` and `y` `(m, d)`.

    The kernel matrix of the whole sets is made once, and each subset's sum is read off it by a matrix product: for 100
    subsets of 2,000 samples this takes a thirtieth of the time of 100 kernel matrices.
    """
    # float64 costs little on a GPU, where float32 may be set to mean TF32; a CPU is twice as quick in float32.
    dtype = torch.float64 if x.is_cuda else torch.float32
    x, y = x.to(dtype), y.to(dtype)
    in_x, in_y = (mask.to(x) for mask in _subsets(len(x), len(y), subsets, size, seed))
    # MMD^2 does not change when a constant is taken from the kernel; float32 sums are the more exact for it.
    offset = float(_kernel(x.mean(0, keepdim=True), y.mean(0, keepdim=True)))
    within = _sums(x, x, in_x, in_x, offset) - _diagonal_sums(x, in_x, offset)
    within += _sums(y, y, in_y, in_y, offset) - _diagonal_sums(y, in_y, offset)
    return within / (size * (size - 1)) - 2 * _sums(x, y, in_x, in_y, offset) / size**2


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    """Return k(x_i, y_j) `(n, m)`."""
    base = torch.addmm(torch.ones((), dtype=x.dtype, device=x.device), x, y.T, alpha=1 / x.shape[1])
    return base * base * base


def _sums(x: Tensor, y: Tensor, in_x: Tensor, in_y: Tensor, offset: float) -> Tensor:
    """Return, for each subset, the sum of k - offset over its rows and columns, float64 `(subsets,)`."""
    total = torch.zeros(len(in_x), dtype=torch.float64, device=x.device)
    for rows, chosen in zip(torch.split(x, BLOCK), torch.split(in_x, BLOCK, dim=1), strict=True):
        total += ((chosen @ _kernel(rows, y).sub_(offset)) * in_y).sum(dim=1, dtype=torch.float64)
    return total


def _diagonal_sums(x: Tensor, in_x: Tensor, offset: float) -> Tensor:
    """Return, for each subset, the sum of k(x_i, x_i) - offset over its members, float64 `(subsets,)`."""
    diagonal = (x.square().sum(1) / x.shape[1] + 1) ** 3 - offset
    return in_x.double() @ diagonal.double()


@lru_cache(maxsize=4)
def _subsets(n: int, m: int, subsets: int, size: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return the members of each subset as 0/1 masks, `(subsets, n)` and `(subsets, m)`, in torch-fidelity's draws."""
    import numpy as np

    random = np.random.RandomState(seed)
    masks = torch.zeros(subsets, n), torch.zeros(subsets, m)
    for row in range(subsets):
        for mask in masks:
            mask[row, torch.from_numpy(random.choice(mask.shape[1], size, replace=False))] = 1
    return masks
