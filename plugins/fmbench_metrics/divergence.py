"""The divergence of a velocity field: the trace of its Jacobian, exactly or by Hutchinson's estimator."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from fmbench import Velocity

    Divergence = Callable[[Velocity, Tensor, Tensor], tuple[Tensor, Tensor]]
    """From velocity, `x` `(batch, *shape)` and `t` `(batch,)` to the velocity there and its divergence, `(batch,)`."""


def exact_divergence(velocity: Velocity, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """Return the velocity and the trace of its Jacobian, float64 `(batch,)`: one backward pass a dimension.

    Examples must not influence each other, as they do in batch normalisation while training.
    """
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        v = depending_on(x, velocity(x, t))
        columns = v.flatten(1)
        trace = torch.zeros(len(x), dtype=torch.float64, device=x.device)
        for i in range(columns.shape[1]):
            (gradient,) = torch.autograd.grad(columns[:, i].sum(), x, retain_graph=i + 1 < columns.shape[1])
            trace += gradient.flatten(1)[:, i].double()
    return v.detach(), trace


def hutchinson(probes: Tensor) -> Divergence:
    """Return the estimator by `probes` `(probes, batch, *shape)`: the mean of e^T J e over them, a backward pass each.

    Unbiased where the probes have mean 0 and covariance I. For random signs its variance comes from the Jacobian's
    symmetric part off the diagonal alone.

    Source: Hutchinson 1990; Grathwohl et al. 2019 (FFJORD, arXiv:1810.01367), section 3.1.
    """

    def estimate(velocity: Velocity, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            v = depending_on(x, velocity(x, t))
            trace = torch.zeros(len(x), dtype=torch.float64, device=x.device)
            for number, probe in enumerate(probes, start=1):
                (gradient,) = torch.autograd.grad(v, x, probe, retain_graph=number < len(probes))
                trace += (gradient * probe).flatten(1).double().sum(1)
        return v.detach(), trace / len(probes)

    return estimate


def signs(probes: int, x: Tensor, generator: Generator) -> Tensor:
    """Draw random signs, `(probes, *x.shape)` in the dtype of `x`: Rademacher's distribution."""
    bits = torch.randint(0, 2, (probes, *x.shape), generator=generator, device=generator.device)
    return (2 * bits - 1).to(x)


def depending_on(x: Tensor, v: Tensor) -> Tensor:
    """Return `v` as a function of `x` even where it is constant, so that autograd finds its derivative, 0.

    Both are `(batch, *shape)`.
    """
    return torch.add(v, x, alpha=0)
