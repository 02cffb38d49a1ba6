"""KID: the kernel distance (MMD^2) between the features of samples and of real data."""

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
    from fmbench_metrics.extractor import ExtractorName
    from fmbench_metrics.features import FeatureSet, Reference

SUBSET_SIZE = 1000
SEED = 2020
"""torch-fidelity's default, so that the subsets are those that it draws."""
TILE = {"cpu": 512, "cuda": 4096}
"""Rows and columns of the kernel matrix that are made at once: as many as stay in a CPU's cache."""
ELEMENTWISE = 30
"""What is done to a product of two features is as dear as so many features more."""


class KID(FeatureMetric):
    """KID: the mean unbiased MMD^2 over random subsets of 1,000.

    The kernel is k(x, y) = (x.y/d + 1)^3. The subsets, and with them the value, are those of torch-fidelity.
    `<name>_std` is the standard deviation over subsets: it says how much one subset tells and is no error bar of the
    mean.

    Args:
        reference: the split of real data that samples are compared with; it needs 1,000 pictures.
        subsets: random subsets over which the distance is averaged.
    """

    reference = "Binkowski et al. 2018, section 4; torch-fidelity's kid_features_to_metric"
    registered_name = "kid"
    minimum_samples = 1000

    def __init__(
        self,
        *,
        extractor: ExtractorName = "inception",
        weights: str | None = None,
        reference: Literal["train", "test"] = "train",
        subsets: Annotated[int, Ge(1)] = 100,
    ) -> None:
        super().__init__(extractor=extractor, weights=weights, reference=reference)
        self.subsets = subsets

    def compute(self, evidence: Evidence) -> Mapping[str, float]:
        """Return mean and standard deviation. Raises DataError where a set is smaller than a subset."""
        samples, reference = self.features(evidence)
        counts = {"samples": len(samples.features), f"pictures in the {self.split} split": len(reference.features)}
        for name, count in counts.items():
            if count < SUBSET_SIZE:
                raise DataError(f"KID needs at least {SUBSET_SIZE} {name}; found {count}.")
        distances = self._distances(samples, reference)
        return {
            self.registered_name: float(distances.mean()),
            f"{self.registered_name}_std": float(distances.std(correction=0)),
        }

    def _distances(self, samples: FeatureSet, reference: Reference) -> Tensor:
        """Return the distance of each subset; the reference set's part in it is kept for all samples of one number."""
        n, (m, d) = len(samples.features), reference.features.shape

        def within_reference(features: Tensor) -> dict[str, Tensor]:
            return {"means": subset_means(features, _subsets(n, m, self.subsets, SUBSET_SIZE, SEED)[1])}

        name = f"kernel means 1 {n} {self.subsets} {SUBSET_SIZE} {SEED}"
        known = reference.statistic(name, m**2 * (d + self.subsets), within_reference)
        return subset_distances(samples.features, reference.features, self.subsets, SUBSET_SIZE, SEED, known["means"])

    def identity(self, evidence: Evidence) -> Mapping[str, Any]:
        """Return extractor, reference set, sample count, subsets, quantiser and versions."""
        return {**super().identity(evidence), "subsets": self.subsets, "subset_size": SUBSET_SIZE, "subset_seed": SEED}


def subset_distances(
    x: Tensor, y: Tensor, subsets: int, size: int = SUBSET_SIZE, seed: int = SEED, within_y: Tensor | None = None
) -> Tensor:
    """Return the unbiased MMD^2 `(subsets,)`, float64, of random subsets of features `x` `(n, d)` and `y` `(m, d)`.

    `within_y` is what `subset_means` gives for `y` alone, where it is known.
    """
    in_x, in_y = _subsets(len(x), len(y), subsets, size, seed)
    if within_y is None:
        within_y = subset_means(y, in_y)
    return subset_means(x, in_x) + within_y - 2 * subset_means(x, in_x, y, in_y)


def subset_means(x: Tensor, in_x: Tensor, y: Tensor | None = None, in_y: Tensor | None = None) -> Tensor:
    """Return, for each subset, the mean of k over its pairs, float64 `(subsets,)`; `in_x` are rows `(subsets, size)`.

    Pairs are of rows of `x` `(n, d)` and of `y` `(m, d)`, or of two different rows of `x`. Where the subsets have more
    pairs, all taken together, than the whole sets, the kernel matrix of these is made once, and each subset's sum is
    read off it by a matrix product.
    """
    # float64 costs little on a GPU, where float32 may be set to mean TF32; a CPU is twice as quick in float32.
    dtype = torch.float64 if x.is_cuda else torch.float32
    x = x.to(dtype)
    other, in_other = (x, in_x) if y is None or in_y is None else (y.to(dtype), in_y)
    # A constant is taken from the kernel and added at the end: float32 sums are the more exact for it.
    offset = float(_kernel(x.mean(0, keepdim=True), other.mean(0, keepdim=True)))
    (subsets, size), d = in_x.shape, x.shape[1]
    whole = len(x) * len(other) * (d + ELEMENTWISE + subsets) <= subsets * size**2 * (d + ELEMENTWISE)
    sums = (_sums_of_the_whole if whole else _sums_one_by_one)(x, other, in_x, in_other, offset)
    if y is not None:
        return sums / size**2 + offset
    diagonal = (x.square().sum(1) / d + 1) ** 3 - offset
    return (sums - diagonal.double()[in_x.to(x.device)].sum(1)) / (size * (size - 1)) + offset


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    """Return k(x_i, y_j) `(n, m)`."""
    base = torch.addmm(torch.ones((), dtype=x.dtype, device=x.device), x, y.T, alpha=1 / x.shape[1])
    return (base * base).mul_(base)


def _sums_of_the_whole(x: Tensor, y: Tensor, in_x: Tensor, in_y: Tensor, offset: float) -> Tensor:
    """Return, for each subset, the sum of k - offset over its rows and columns, float64 `(subsets,)`.

    The kernel matrix is made tile by tile; where `y` is `x`, the tiles on one side of the diagonal count twice.
    """
    tile = TILE["cuda" if x.is_cuda else "cpu"]
    total = torch.zeros(len(in_x), dtype=torch.float64, device=x.device)
    columns = list(zip(torch.split(y, tile), _masks(in_y, y, tile), strict=True))
    rows = columns if y is x else list(zip(torch.split(x, tile), _masks(in_x, x, tile), strict=True))
    for i, (own, chosen) in enumerate(rows):
        for j, (others, also_chosen) in enumerate(columns[i if y is x else 0 :]):
            sums = ((chosen @ _kernel(own, others).sub_(offset)) * also_chosen).sum(dim=1, dtype=torch.float64)
            total += 2 * sums if y is x and j else sums
    return total


def _sums_one_by_one(x: Tensor, y: Tensor, in_x: Tensor, in_y: Tensor, offset: float) -> Tensor:
    """Return what `_sums_of_the_whole` does, from one kernel matrix a subset."""
    pairs = zip(in_x.to(x.device), in_y.to(x.device), strict=True)
    return torch.stack([_kernel(x[rows], y[columns]).sub_(offset).sum(dtype=torch.float64) for rows, columns in pairs])


def _masks(members: Tensor, x: Tensor, tile: int) -> tuple[Tensor, ...]:
    """Return the members of each subset as 0 and 1, `(subsets, tile)` for each tile of rows of `x`."""
    masks = torch.zeros(len(members), len(x), dtype=x.dtype, device=x.device)
    masks.scatter_(1, members.to(x.device), 1)
    return torch.split(masks, tile, dim=1)


@lru_cache(maxsize=4)
def _subsets(n: int, m: int, subsets: int, size: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return the rows of each subset of n and of m, `(subsets, size)` each, in torch-fidelity's draws."""
    import numpy as np

    random = np.random.RandomState(seed)
    drawn = [[random.choice(of, size, replace=False) for of in (n, m)] for _ in range(subsets)]
    in_x, in_y = (torch.from_numpy(np.stack(rows)) for rows in zip(*drawn, strict=True))
    return in_x, in_y
