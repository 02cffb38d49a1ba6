"""Conformance of probability paths."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from fmbench.components.contracts import AffinePath, ProbabilityPath
from fmbench.testing.base import ComponentConformance, assert_form_of, generator
from fmbench.testing.parametrize import parametrize, skip_if

SHAPES = [(2,), (1, 4, 4), (3, 5, 5)]
BATCH = 8


class PathConformance(ComponentConformance):
    """A path: its ends, its velocity, its draws.

    Attributes:
        endpoint_tolerance: how far x_t may be from x_0 at t=0 and from x_1 at t=1, for standard normal x_0 and x_1; a
            path that leaves noise at an end states how much.
        inner: the times between which dx_t is compared with the derivative of x_t.
    """

    contract = ProbabilityPath
    endpoint_tolerance: ClassVar[float] = 1e-6
    inner: ClassVar[tuple[float, float]] = (0.02, 0.98)

    @parametrize("shape", SHAPES)
    @parametrize("dtype", [torch.float32, torch.float64])
    def test_keeps_shape_and_dtype(self, component: Any, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        """x_t and dx_t have the shape and the dtype of x_0, and are finite where 0 < t < 1."""
        x_0, x_1, t = draws(shape, dtype)
        sample = component.sample(x_0, x_1, t, generator())
        for name in ("x_t", "dx_t"):
            value = getattr(sample, name)
            assert_form_of("x_0", x_0, name, value)
            assert torch.isfinite(value).all(), f"{name} is finite inside [0, 1]; found {value}"
        for name, given in (("x_0", x_0), ("x_1", x_1), ("t", t)):
            assert torch.equal(getattr(sample, name), given), f"the sample holds the {name} that it was made of"

    def test_leaves_its_inputs_alone(self, component: Any) -> None:
        """x_0, x_1 and t are not changed in place: others are given the same tensors."""
        given = draws((3,), torch.float64)
        copies = [value.clone() for value in given]
        component.sample(*given, generator())
        assert all(map(torch.equal, given, copies)), "a path does not change x_0, x_1 or t in place"

    @parametrize("shape", SHAPES)
    @parametrize("dtype", [torch.float32, torch.float64])
    def test_runs_from_source_to_data(self, component: Any, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        """x_t = x_0 at t = 0, which is noise, and x_t = x_1 at t = 1, which is data."""
        x_0, x_1, t = draws(shape, dtype)
        for end, expected, name in ((0.0, x_0, "x_0"), (1.0, x_1, "x_1")):
            x_t = component.sample(x_0, x_1, torch.full_like(t, end), generator()).x_t
            gap = (x_t - expected).abs().max().item()
            assert gap <= self.endpoint_tolerance, (
                f"x_t at t={end:g} is {name} up to endpoint_tolerance={self.endpoint_tolerance:g}; it is {gap:.3g} away"
            )

    @parametrize("shape", SHAPES)
    def test_velocity_is_the_derivative(self, component: Any, shape: tuple[int, ...]) -> None:
        """dx_t = d x_t / dt, with the path's own noise held fixed."""
        x_0, x_1, t = draws(shape, torch.float64)
        low, high = self.inner
        t = low + (high - low) * t

        def position(time: Tensor) -> Tensor:
            x_t: Tensor = component.sample(x_0, x_1, time, generator(3)).x_t  # the same noise at every t
            return x_t

        derivative = rate(position, t)
        dx_t = component.sample(x_0, x_1, t, generator(3)).dx_t
        error = ((dx_t - derivative).abs() / (1 + derivative.abs())).max().item()
        assert error <= 1e-9, f"dx_t is d x_t/dt, with the path's own noise held fixed; they differ by {error:.3g}"

    def test_draws_follow_the_generator(self, component: Any) -> None:
        """x_t is drawn from `generator` only, and how much is drawn depends on the shape of x_0 alone."""
        x_0, x_1, t = draws((3, 4, 4), torch.float32)
        first, again = (component.sample(x_0, x_1, t, generator(5)) for _ in range(2))
        assert torch.equal(first.x_t, again.x_t), (
            "the same generator seed gives the same x_t: draw from the generator only"
        )
        one, other = generator(5), generator(5)
        component.sample(x_0, x_1, t, one)
        component.sample(x_0.flip(0), 2 * x_1, 1 - t, other)
        assert torch.equal(one.get_state(), other.get_state()), (
            "what a path draws depends on the shape of x_0 alone, so that cells stay paired; it drew more or less"
            " for other values"
        )

    def test_a_straight_path_is_straight(self, component: Any) -> None:
        """A path that provides "straight" reaches the data along its velocity: x_t + (1 - t) dx_t = x_1."""
        skip_if("straight" not in component.provides, 'the path does not provide "straight"')
        sample = component.sample(*draws((3,), torch.float64), generator())
        end = sample.x_t + (1 - sample.t)[:, None] * sample.dx_t
        error = (end - sample.x_1).abs().max().item()
        assert error <= 1e-12, f"a straight path goes on to x_1 along dx_t; it misses by {error:.3g}"

    def test_gaussian_has_the_path_s_marginals(self, component: Any) -> None:
        """x_t given x_1 is normal: mean alpha_t x_1, variance sigma_t^2, cov(x_t, dx_t) = sigma_t d_sigma_t.

        Found by many draws, of a path that provides "gaussian".
        """
        skip_if("gaussian" not in component.provides, 'the path does not provide "gaussian"')
        n, x_1 = 100_000, 1.5
        for time in (0.1, 0.5, 0.8):
            t = torch.full((n,), time, dtype=torch.float64)
            x_0 = torch.randn(n, 1, dtype=torch.float64, generator=generator(8))
            sample = component.sample(x_0, torch.full_like(x_0, x_1), t, generator(9))
            alpha_t, sigma_t, d_alpha_t, d_sigma_t = (c[0].item() for c in component.gaussian(t))
            found = torch.cov(torch.cat([sample.x_t, sample.dx_t], dim=1).T)
            of_both = 2 * (found[0, 0] * found[1, 1]).sqrt().item()
            facts = {
                "the mean of x_t": (sample.x_t.mean().item(), alpha_t * x_1, sigma_t),
                "the mean of dx_t": (sample.dx_t.mean().item(), d_alpha_t * x_1, found[1, 1].sqrt().item()),
                "the variance of x_t": (found[0, 0].item(), sigma_t**2, 2 * sigma_t**2),
                "their covariance": (found[0, 1].item(), sigma_t * d_sigma_t, of_both),
            }
            for name, (measured, expected, spread) in facts.items():
                allowed = 5 * spread / math.sqrt(n) + 1e-12
                assert abs(measured - expected) <= allowed, (
                    f"by gaussian(t), {name} at t={time:g} is {expected:.5g} for x_1={x_1:g}; found {measured:.5g}"
                )


class AffinePathConformance(PathConformance):
    """An affine path: besides the rules of every path, its coefficients."""

    contract = AffinePath

    @parametrize("dtype", [torch.float32, torch.float64])
    def test_coefficients_keep_shape_and_dtype(self, component: Any, dtype: torch.dtype) -> None:
        """alpha_t, sigma_t, d_alpha_t and d_sigma_t have the shape and the dtype of t."""
        t = torch.linspace(0.1, 0.9, 7, dtype=dtype)
        names = ("alpha_t", "sigma_t", "d_alpha_t", "d_sigma_t")
        for name, value in zip(names, component.coefficients(t), strict=True):
            assert_form_of("t", t, name, value)

    def test_coefficient_derivatives(self, component: Any) -> None:
        """d_alpha_t = d alpha_t / dt, and d_sigma_t = d sigma_t / dt."""
        t = torch.linspace(*self.inner, 101, dtype=torch.float64)
        for index, name in enumerate(("alpha", "sigma")):
            given = component.coefficients(t)[2 + index]
            exact = rate(lambda t, i=index: component.coefficients(t)[i], t)  # type: ignore[misc]
            error = ((given - exact).abs() / (1 + exact.abs())).max().item()
            assert error <= 1e-9, f"d_{name}_t is the derivative of {name}_t; they differ by {error:.3g}"

    def test_coefficients_at_the_ends(self, component: Any) -> None:
        """alpha(0) = 0 and sigma(0) = 1, which is noise; alpha(1) = 1 and sigma(1) = 0, which is data."""
        alpha_t, sigma_t, *_ = component.coefficients(torch.tensor([0.0, 1.0], dtype=torch.float64))
        for name, value, expected in (("alpha", alpha_t, (0.0, 1.0)), ("sigma", sigma_t, (1.0, 0.0))):
            for end, found, wanted in zip((0, 1), value.tolist(), expected, strict=True):
                assert abs(found - wanted) <= self.endpoint_tolerance, (
                    f"{name}({end}) is {wanted:g} up to endpoint_tolerance={self.endpoint_tolerance:g}; "
                    f"found {found:.6g}"
                )

    def test_provides_affine(self, component: Any) -> None:
        """An affine path provides "affine" and "gaussian", on which other components rely."""
        for name in ("affine", "gaussian"):
            assert name in component.provides, f'an affine path provides "{name}"; found {component.provides}'


def draws(shape: tuple[int, ...], dtype: torch.dtype, batch: int = BATCH) -> tuple[Tensor, Tensor, Tensor]:
    """Return standard normal `x_0` and `x_1` `(batch, *shape)` and `t` `(batch,)` uniform between 0.05 and 0.95."""
    noise = generator(1)
    x_0, x_1 = (torch.randn(batch, *shape, dtype=dtype, generator=noise) for _ in range(2))
    return x_0, x_1, 0.05 + 0.9 * torch.rand(batch, dtype=dtype, generator=noise)


def rate(function: Callable[[Tensor], Tensor], t: Tensor) -> Tensor:
    """Return the derivative by autograd of a function of `t` `(batch,)` whose row i depends on t_i alone."""
    # Through reverse mode: the forward mode of torch.func compiles its rules at first use, with deprecation warnings.
    derivative: Tensor = torch.autograd.functional.jvp(function, t, torch.ones_like(t))[1]  # type: ignore[no-untyped-call]
    return derivative
