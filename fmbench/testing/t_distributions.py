"""Conformance of distributions of the training time."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from fmbench.components.contracts import TDistribution
from fmbench.testing.base import ComponentConformance, generator
from fmbench.testing.parametrize import parametrize

NODES, WEIGHTS = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(32))
CLOSEST = 1e-9
DRAWS = 100_000


class TDistributionConformance(ComponentConformance):
    """A t-distribution: its quantile is increasing, and is the inverse of the integral of its density.

    Integrals are taken over the logit of t, between quantiles, so that poles at t=0 and t=1 do no harm.
    """

    contract = TDistribution

    @parametrize("dtype", [torch.float32, torch.float64])
    def test_keeps_shape_and_dtype(self, component: Any, dtype: torch.dtype) -> None:
        """quantile and density work elementwise: shape and dtype stay."""
        u = torch.linspace(0.01, 0.99, 12, dtype=dtype).reshape(3, 4)
        for name, value in (("quantile", component.quantile(u)), ("density", component.density(u))):
            assert value.shape == u.shape, f"{name} works elementwise on {tuple(u.shape)}; found {tuple(value.shape)}"
            assert value.dtype == dtype, f"{name} keeps the dtype {dtype}; found {value.dtype}"

    def test_leaves_its_inputs_alone(self, component: Any) -> None:
        """u and t are not changed in place."""
        u = torch.linspace(0.01, 0.99, 12, dtype=torch.float64)
        copy = u.clone()
        component.quantile(u), component.density(u)
        assert torch.equal(u, copy), "a t-distribution does not change u or t in place"

    @parametrize("dtype", [torch.float32, torch.float64])
    def test_quantile_is_finite_to_the_ends(self, component: Any, dtype: torch.dtype) -> None:
        """0 <= quantile(u) <= 1 for every 0 < u < 1, however close to the ends."""
        small = [torch.finfo(dtype).tiny, 1e-30, 1e-12, 1e-7, 2.0**-24]
        u = torch.tensor([*small, 0.5, 1 - 1e-3, 1 - torch.finfo(dtype).eps / 2], dtype=dtype)
        t = component.quantile(u)
        assert torch.isfinite(t).all(), f"quantiles are finite for every u in (0, 1); u={u.tolist()} gave {t.tolist()}"
        assert ((t >= 0) & (t <= 1)).all(), f"quantiles lie in [0, 1]; u={u.tolist()} gave {t.tolist()}"

    def test_quantile_increases(self, component: Any) -> None:
        """u < v gives quantile(u) < quantile(v)."""
        u = torch.linspace(0, 1, 1003, dtype=torch.float64)[1:-1]
        t = component.quantile(u)
        inner = (t > CLOSEST) & (t < 1 - CLOSEST)
        assert (t.diff() >= 0).all(), "the quantile is an increasing function of u; it falls somewhere"
        assert (t[inner].diff() > 0).all(), "the quantile increases strictly inside (0, 1); it is flat somewhere"

    def test_density_is_positive_where_draws_fall(self, component: Any) -> None:
        """density(quantile(u)) is finite and > 0."""
        density = component.density(component.quantile(torch.linspace(0.02, 0.98, 97, dtype=torch.float64)))
        assert (density > 0).all(), f"the density is positive at every quantile; found {density.min().item():.3g}"
        assert torch.isfinite(density).all(), "the density is finite between the quantiles of 2% and 98%"

    def test_density_integrates_to_one(self, component: Any) -> None:
        """The integral of density from quantile(a) to quantile(b) is b - a, and over [0, 1] it is 1."""
        u, z, mass = quantile_masses(component)
        error = (mass.cumsum(0) - (u[1:] - u[0])).abs().max().item()
        assert error <= 1e-5, (
            f"the density integrates to b - a between the quantiles of a and b; it is off by {error:.3g} somewhere"
        )
        outside = torch.tensor([-600.0, 30.0], dtype=z.dtype)
        for name, low, high, allowed in (("t=0", outside[0], z[0], u[0]), ("t=1", z[-1], outside[1], 1 - u[-1])):
            edges = torch.linspace(float(low), max(float(low), float(high)), 201, dtype=z.dtype)
            tail = integrals(component, edges).sum().item()
            assert tail <= allowed + 1e-5, (
                f"the density integrates to 1: towards {name}, beyond the quantile, at most {allowed:.3g} is left; "
                f"found {tail:.3g}"
            )

    def test_quantile_is_the_inverse_cdf(self, component: Any) -> None:
        """density(quantile(u)) * quantile'(u) = 1."""
        u, h = torch.linspace(0.03, 0.97, 95, dtype=torch.float64), 1e-4
        near, far = (component.quantile(u + k * h) - component.quantile(u - k * h) for k in (1, 2))
        slope = (8 * near - far) / (12 * h)
        t = component.quantile(u)
        # Where the slope changes much within h, finite differences say nothing.
        resolved = (t > 1e-200) & (t < 1 - CLOSEST) & ((slope * 2 * h / near - 1).abs() < 0.01)
        error = (slope * component.density(t) - 1)[resolved].abs().max().item()
        assert error <= 1e-4, f"density(quantile(u)) quantile'(u) = 1, in float64; it is off by {error:.3g}"

    def test_draws_follow_the_density(self, component: Any) -> None:
        """t = quantile(u), u uniform, has that density: sup |F_n(t) - F(t)| is as small as chance allows."""
        _, z, mass = quantile_masses(component)
        draws = component.quantile(torch.rand(DRAWS, generator=generator(11)))
        logits = np.sort(torch.logit(draws.double()).numpy())
        cdf = np.interp(logits, z.numpy(), np.concatenate([[0.0], mass.cumsum(0).numpy()]) + LOWEST)
        ranks = np.arange(DRAWS + 1) / DRAWS
        distance = max(np.abs(cdf - ranks[1:]).max(), np.abs(cdf - ranks[:-1]).max())
        limit = 2.2 / DRAWS**0.5  # exceeded once in 16,000 by chance, and the seed is fixed
        assert distance <= limit, (
            f"draws follow the density: the KS distance is at most {limit:.2g}; found {distance:.2g}"
        )


LOWEST = 1e-4


def quantile_masses(component: TDistribution) -> tuple[Tensor, Tensor, Tensor]:
    """Return levels u `(n,)`, their quantiles as logits `(n,)`, and the density's integrals between them `(n - 1,)`."""
    inner = torch.linspace(0, 1, 1001, dtype=torch.float64)[1:-1]
    u = torch.cat([torch.tensor([LOWEST]).double(), inner, torch.tensor([1 - LOWEST]).double()])
    t = component.quantile(u)
    kept = (t > 1e-250) & (t < 1 - CLOSEST)
    u, z = u[kept], torch.logit(t[kept])
    return u, z, integrals(component, z)


def integrals(component: TDistribution, z: Tensor) -> Tensor:
    """Return the density's integrals between neighbours of `z`, logits of t, by Gauss-Legendre quadrature.

    `z` is `(n,)`, and the integrals are `(n - 1,)`.
    """
    half = z.diff()[:, None] / 2
    points = (z[:-1] + z[1:])[:, None] / 2 + half * NODES
    t = torch.sigmoid(points)
    # dt = t (1-t) dz, with 1-t as sigmoid(-z), which does not cancel near t=1.
    return (component.density(t) * t * torch.sigmoid(-points) * half * WEIGHTS).sum(1)
