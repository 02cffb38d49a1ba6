"""The error of the predicted data, at noise levels that all affine paths share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import torch
from annotated_types import Ge

from fmbench import AffinePath, DataError, Metric, expand
from fmbench_metrics.validation import labelled, reference

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench import Evidence, Path

DRAWS = 512
"""Draws at each point of the grid."""
BISECTIONS = 60


class X1Error(Metric):
    """E|x_1(x_t) - x_1|^2, averaged over dimensions and a fixed grid of log-SNR: the error of the predicted data.

    The data that a velocity v predicts at x_t are (d_sigma x_t - sigma v)/(alpha d_sigma - d_alpha sigma). How hard
    they are to predict depends on lambda = ln(alpha/sigma) alone, not on when a path gets there. So every path is asked
    at the same lambda, evenly spaced from `low` to `high`, with the same held-out data and noise: values are comparable
    between affine paths, objectives and t-distributions, of one coupling: the pairs here are independent, and a network
    that learnt from others predicts the data of those.

    Args:
        low: the least lambda, noisiest; -3 is t=0.047 on the linear path.
        high: the greatest lambda, cleanest; 3 is t=0.953 on the linear path.
        points: number of grid points, both ends among them.
    """

    reference = "Kingma et al. 2021, Variational Diffusion Models (arXiv:2107.00630); docs/measurements.md"
    requires = ("affine",)
    scope = "training"
    within = ("coupling",)

    def __init__(self, *, low: float = -3.0, high: float = 3.0, points: Annotated[int, Ge(2)] = 13) -> None:
        if low >= high:
            raise ValueError(f"metric x1_error: low must be below high; found {low:g} and {high:g}")
        self.low = low
        self.high = high
        self.points = points

    @torch.no_grad()
    def compute(self, evidence: Evidence) -> Mapping[str, float]:
        """Return the mean squared error. Raises DataError where the path does not reach the grid."""
        data, labels = evidence.real("test")
        path, generator = affine(evidence.path), evidence.generator("x1_error")
        times = times_of(path, torch.linspace(self.low, self.high, self.points, dtype=torch.float64))
        rows = torch.randperm(max(len(data), DRAWS), generator=generator, device=generator.device)[:DRAWS] % len(data)
        x_1 = data[rows.to(data.device)]
        y = labels[rows.to(data.device)] if evidence.is_conditional and labels is not None else None
        errors = []
        for time in times:
            x_0 = evidence.dataset.source(DRAWS, generator).to(x_1)
            t = torch.full((DRAWS,), float(time), dtype=x_1.dtype, device=x_1.device)
            sample = path.sample(x_0, x_1, t, generator)
            with labelled(evidence.velocity, y) as velocity:
                predicted = predicted_data(path, sample.x_t, t, velocity(sample.x_t, t))
            errors.append((predicted - x_1).double().square().mean())
        return {"x1_error": float(torch.stack(errors).mean())}

    def identity(self, evidence: Evidence) -> Mapping[str, Any]:
        """Return the held-out set and the draws at each grid point; the grid itself is in the parameters."""
        return {**reference(evidence), "draws": DRAWS, "labels": evidence.is_conditional}


def affine(path: Path) -> AffinePath:
    """Return an affine path itself. Raises DataError for others."""
    if not isinstance(path, AffinePath):
        raise DataError(
            f"x1_error needs an affine path, whose velocity holds a prediction of the data; found {path!r}."
        )
    return path


def predicted_data(path: AffinePath, x: Tensor, t: Tensor, v: Tensor) -> Tensor:
    """Return the x_1 that the velocity `v` at `x` predicts, both `(batch, *shape)`, at `t` `(batch,)`."""
    alpha_t, sigma_t, d_alpha_t, d_sigma_t = (expand(c, x) for c in path.coefficients(t))
    return (d_sigma_t * x - sigma_t * v) / (alpha_t * d_sigma_t - d_alpha_t * sigma_t)


def times_of(path: AffinePath, levels: Tensor) -> Tensor:
    """Return the t `(n,)` at which ln(alpha/sigma) is `levels`, float64 `(n,)`, by bisection: it grows with t.

    Raises DataError where the path does not get there.
    """
    low, high = torch.zeros_like(levels), torch.ones_like(levels)
    reached = [float(log_ratio(path, t[:1])) for t in (low, high)]
    if reached[0] > levels.min() or reached[1] < levels.max():
        raise DataError(
            f"x1_error asks for ln(alpha/sigma) from {float(levels.min()):g} to {float(levels.max()):g}; "
            f"{type(path).__name__} runs from {reached[0]:.4g} to {reached[1]:.4g}. Set low and high within that."
        )
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        below = log_ratio(path, middle) < levels
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return (low + high) / 2


def log_ratio(path: AffinePath, t: Tensor) -> Tensor:
    """Return ln(alpha/sigma) at `t` `(n,)`, minus infinity where alpha is 0, infinity where sigma is."""
    alpha_t, sigma_t, *_ = path.coefficients(t)
    return torch.log(alpha_t) - torch.log(sigma_t)
