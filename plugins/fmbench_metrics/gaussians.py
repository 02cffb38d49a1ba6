"""Means and covariances of features, and the Fréchet distance between the Gaussians that have them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Target:
    """A Gaussian from which distances are taken: `mean` `(d,)`, and a `factor` F `(k, d)` of the covariance F^T F.

    Both are float64. k is at most the number of features and of points: a covariance of fewer points than features has
    a factor of as many rows as points, in which there are no directions of variance nought that rounding could fill.
    """

    mean: Tensor
    factor: Tensor

    @classmethod
    def of(cls, features: Tensor) -> Target:
        """Return the target that features `(n, d)` make."""
        x = precise(features)
        mean, (n, d) = x.mean(0), x.shape
        if n <= d:
            return cls(mean, (x - mean) / (n - 1) ** 0.5)
        return cls.with_covariance(mean, covariance(x))

    @classmethod
    def with_covariance(cls, mean: Tensor, covariance: Tensor) -> Target:
        """Return the target of a mean `(d,)` and a covariance `(d, d)`."""
        lower, fault = torch.linalg.cholesky_ex(covariance)
        return cls(mean, _root(covariance) if int(fault) else lower.mT.contiguous())

    @property
    def covariance(self) -> Tensor:
        """The covariance `(d, d)`."""
        return self.factor.mT @ self.factor

    @property
    def variance(self) -> Tensor:
        """The trace of the covariance."""
        return self.factor.square().sum()

    def seen(self, x: Tensor) -> Tensor:
        """Return points `(..., d)`, less the mean, in the factor's directions, `(..., k)`.

        Their covariance F S F^T has the eigenvalues of S F^T F: the roots of these are what the distance needs, and as
        those of a symmetric matrix they are found faster and with a smaller error than those of the product itself.
        """
        return x @ self.factor.mT


def frechet_distance(features: Tensor, target: Target) -> float:
    """Return |m - mean|^2 + tr S + tr F^T F - 2 tr (F S F^T)^(1/2) for the mean m and covariance S of `(n, d)`."""
    x = precise(features) - target.mean
    mean, n = x.mean(0), len(x)
    x = x - mean
    if n <= len(target.factor):
        # The smaller of two matrices that have the same eigenvalues but for noughts.
        seen = target.seen(x)
        common = seen @ seen.mT / (n - 1)
    else:
        common = target.seen(target.seen(product(x) / (n - 1)).mT)
    distance = mean.square().sum() + x.square().sum() / (n - 1) + target.variance - 2 * root_trace(common)
    return float(distance)


def root_trace(matrices: Tensor) -> Tensor:
    """Return the trace of the roots of symmetric matrices without negative eigenvalues, `(..., k, k)` to `(...)`."""
    # An eigenvalue that is nought but for rounding is as well below it as above.
    trace: Tensor = torch.linalg.eigvalsh(matrices).clamp(min=0).sqrt().sum(-1)
    return trace


def covariance(x: Tensor) -> Tensor:
    """Return the unbiased covariance `(..., d, d)` of rows `(..., n, d)`."""
    x = x - x.mean(-2, keepdim=True)
    return product(x) / (x.shape[-2] - 1)


def product(x: Tensor) -> Tensor:
    """Return x^T x `(..., d, d)`; NumPy knows that it is symmetric, and computes half of it."""
    if x.is_cuda or x.ndim > 2:
        return x.mT @ x
    array = x.numpy()
    return torch.from_numpy(array.T @ array)


def precise(features: Tensor) -> Tensor:
    """Return features `(n, d)` in float64, on the CPU where their device may have none."""
    return features.double() if features.is_cuda else features.cpu().double()


def _root(matrix: Tensor) -> Tensor:
    """Return a factor of a covariance that some direction has no part in: eigenvectors times roots of eigenvalues."""
    values, vectors = torch.linalg.eigh(matrix)
    there = values > values[-1] * len(values) * torch.finfo(values.dtype).eps
    factor: Tensor = (vectors[:, there] * values[there].sqrt()).mT
    return factor.contiguous()
