"""The Fréchet distance for infinitely many samples: a curve through the distances of smaller and smaller subsets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from fmbench_metrics.gaussians import Target, covariance, precise, root_trace

if TYPE_CHECKING:
    from torch import Generator, Tensor

ELEMENTS = 2**22
"""Numbers that are gathered at once where several subsets are small."""


@dataclass(frozen=True)
class Extrapolation:
    """A curve through Fréchet distances against 1/n.

    `inverse_sizes` are 1/n and `distances` the means there, float64 `(splits,)`, the whole set first. `value` is the
    curve at 1/n = 0, `slope` its slope there, `error` the standard error of `value` over draws of the samples.
    """

    inverse_sizes: Tensor
    distances: Tensor
    value: float
    slope: float
    error: float


class Cloud:
    """Features `(n, d)` as seen from a target: what the distances of all their subsets need, made once.

    With F the factor of the target's covariance, the distance of a subset of mean m and covariance S is
    |m - mean|^2 + tr S + tr F^T F - 2 tr (F S F^T)^(1/2), where F S F^T is symmetric: the covariance of the rows F x.
    """

    def __init__(self, features: Tensor, target: Target) -> None:
        self.target = target
        self.x = precise(features) - target.mean
        self.seen = target.seen(self.x)

    def distances(self, subsets: Sequence[Tensor]) -> Tensor:
        """Return the squared Fréchet distances of subsets from the target, float64 `(k,)` on the CPU.

        Each of the k subsets is given by its rows, `(size,)`; the sizes may differ.
        """
        found = torch.empty(len(subsets), dtype=torch.float64)
        by_size: dict[int, list[int]] = {}
        for place, rows in enumerate(subsets):
            by_size.setdefault(len(rows), []).append(place)
        for size, places in by_size.items():
            together = max(1, ELEMENTS // (size * self.x.shape[1]))
            for some in (places[i : i + together] for i in range(0, len(places), together)):
                rows = torch.stack([subsets[place] for place in some]).to(self.x.device)
                found[some] = self._of_one_size(rows).cpu()
        return found

    def _of_one_size(self, rows: Tensor) -> Tensor:
        """Return the distances `(k,)` of subsets of one size, `(k, size)`."""
        x = self.x[rows]
        mean = x.mean(1)
        own = (x - mean[:, None]).square().sum((1, 2)) / (rows.shape[1] - 1) + self.target.variance
        common = root_trace(covariance(self.seen[rows]))
        distances: Tensor = mean.square().sum(1) + own - 2 * common
        return distances

    def without_each(self) -> Tensor:
        """Return the distances of all rows but one, for each, float64 `(n,)`, to second order in what the row adds.

        Without row x, F S F^T is a multiple of itself less b y y^T, where y = F (x - m). With l its eigenvalues, and u
        that is y in its eigenvectors, the trace of its root falls by b/2 sum_j u_j^2 / l_j^(1/2) and by
        b^2/4 sum_jk u_j^2 u_k^2 / (l_j^(1/2) l_k^(1/2) (l_j^(1/2) + l_k^(1/2))). Directions in which the rows do not
        vary have no part in it.
        """
        n, mean = len(self.x), self.x.mean(0)
        x, common = self.x - mean, covariance(self.seen)
        values, vectors = torch.linalg.eigh(common)
        there = values > values.max() * len(values) * torch.finfo(values.dtype).eps
        roots = values[there].sqrt()
        u = ((self.seen - self.seen.mean(0)) @ vectors[:, there]).square() / roots
        grown, b = (n - 1) / (n - 2), n / (n - 1) ** 2
        lost = b / 2 * u.sum(1) + b**2 / 4 * (u * (u @ (1 / (roots[:, None] + roots)))).sum(1)
        squares = x.square().sum(1)
        own = grown * (x.square().sum() / (n - 1) - b * squares) + self.target.variance
        moved = mean.square().sum() - 2 * x @ mean / (n - 1) + squares / (n - 1) ** 2
        distances: Tensor = moved + own - 2 * grown**0.5 * (roots.sum() - lost)
        return distances


def extrapolate(
    features: Tensor,
    target: Target,
    generator: Generator,
    splits: int = 4,
    cuts: int = 8,
    degree: int = 2,
    labels: Tensor | None = None,
) -> Extrapolation:
    """Fit the curve to the distances of features `(n, d)` and of the blocks of cuts into 2, 3, ..., `splits` blocks.

    A cut deals the samples out at random, those of each label evenly where `labels` `(n,)` are given. All blocks of
    `cuts` cuts count, so that each sample counts as often in one point of the curve as in another; what one cut happens
    to have differs between cuts and is averaged away.

    The standard error is made of the jackknife's variance of the whole set's distance and of the spread between cuts.
    A distance of n samples is a constant, plus a sum over samples, plus a sum over pairs (and smaller terms). The first
    sum is the same in all points of the curve; the second is so on average over cuts, and the variance between cuts
    into k blocks is k - 1 times its own. The jackknife counts that variance twice (Efron & Stein 1981), so it is taken
    off once; what a finite number of cuts leaves of it in `value` is added.
    """
    cloud, n = Cloud(features, target), len(features)
    means, inverse, lucks = [float(cloud.distances([torch.arange(n)]))], [1 / n], []
    for blocks in range(2, splits + 1):
        drawn = [rows for _ in range(cuts) for rows in deal(n, blocks, generator, labels)]
        found = cloud.distances(drawn).reshape(cuts, blocks).mean(1)
        means.append(float(found.mean()))
        inverse.append(sum(1 / len(rows) for rows in drawn) / len(drawn))
        lucks.append(float(found.var()) / (blocks - 1))
    x, y = torch.tensor(inverse, dtype=torch.float64), torch.tensor(means, dtype=torch.float64)
    # n/size and not 1/size, so that the columns of the least squares problem are of one magnitude.
    weights = torch.linalg.pinv((n * x)[:, None] ** torch.arange(degree + 1))

    luck = sum(lucks) / len(lucks)
    jackknife = (n - 1) / n * float(within(cloud.without_each(), labels).square().sum())
    of_cuts = luck * float(weights[0].square() @ torch.arange(splits, dtype=torch.float64)) / cuts
    variance = max(jackknife - luck, luck) + of_cuts
    return Extrapolation(x, y, float(weights[0] @ y), n * float(weights[1] @ y), variance**0.5)


def deal(n: int, blocks: int, generator: Generator, labels: Tensor | None = None) -> list[Tensor]:
    """Return the rows of each block of a random cut of 0..n-1, those of each of `labels` `(n,)` dealt out evenly.

    A block's rows are `(size,)`; sizes differ by one at most.
    """
    order = torch.randperm(n, generator=generator)
    if labels is not None:
        order = order[torch.argsort(labels.cpu()[order], stable=True)]
    return [order[first::blocks] for first in range(blocks)]


def within(values: Tensor, labels: Tensor | None) -> Tensor:
    """Return values `(n,)` less their mean, or less the mean of their label."""
    if labels is None:
        return values - values.mean()
    sums = torch.zeros(int(labels.max()) + 1, dtype=values.dtype, device=values.device)
    means = sums.scatter_add(0, labels, values) / torch.bincount(labels, minlength=len(sums))
    return values - means[labels]
