"""Conformance of solvers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from fmbench.contracts import Solver
from fmbench.testing.base import ComponentConformance, generator
from fmbench.testing.parts import CountedField
from fmbench.testing.problems import PROBLEMS, Problem, smooth_times, uniform_times

GRIDS = [uniform_times, smooth_times]


class AnySolverConformance(ComponentConformance):
    """What is asked of every solver; authors inherit SolverConformance or AdaptiveSolverConformance.

    Attributes:
        deterministic: set it to False for a solver that draws noise.
    """

    contract = Solver
    adaptive: ClassVar[bool] = False
    deterministic: ClassVar[bool] = True

    def test_declares_its_cost(self, component: Any) -> None:
        assert component.adaptive is self.adaptive, (
            "solvers on a given grid inherit SolverConformance, adaptive ones AdaptiveSolverConformance; "
            f"adaptive is {component.adaptive}"
        )
        for name in ("nfe_per_step", "nfe_offset"):
            assert isinstance(getattr(component, name), int), (
                f"{name} is an integer; found {getattr(component, name)!r}"
            )
        assert component.nfe_per_step >= 1, f"a step costs at least one evaluation; found {component.nfe_per_step}"
        order = component.order
        assert order is None or order >= 1, f"order is at least 1, or None where it means nothing; found {order!r}"

    @pytest.mark.parametrize("shape", [(2,), (3, 4, 4)])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_keeps_shape_and_dtype(self, component: Any, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        x_0 = torch.randn(5, *shape, dtype=dtype, generator=generator())
        before = x_0.clone()
        x_1 = component.integrate(CountedField(lambda x, t: -x), x_0, uniform_times(4).to(dtype))
        assert x_1.shape == x_0.shape, f"x_1 has the shape of x_0, {tuple(x_0.shape)}; found {tuple(x_1.shape)}"
        assert x_1.dtype == dtype, f"x_1 has the dtype of x_0, {dtype}; found {x_1.dtype}"
        assert torch.equal(x_0, before), "a solver does not change x_0 in place"

    def test_leaves_velocities_alone(self, component: Any) -> None:
        kept: list[tuple[Tensor, Tensor]] = []

        def velocity(x: Tensor, t: Tensor) -> Tensor:
            v = torch.cos(x)
            kept.append((v, v.clone()))
            return v

        component.integrate(CountedField(velocity), torch.linspace(0, 1, 6).reshape(3, 2), uniform_times(4).float())
        assert all(torch.equal(v, copy) for v, copy in kept), "a solver does not change returned velocities in place"

    @pytest.mark.parametrize("grid", GRIDS)
    def test_stays_within_the_unit_interval(self, component: Any, grid: Callable[[int], Tensor]) -> None:
        field = CountedField(lambda x, t: torch.cos(9 * t)[:, None] * x)
        component.integrate(field, torch.ones(4, 2), grid(7).float())
        times = torch.cat(field.times)
        assert ((times >= 0) & (times <= 1)).all(), (
            f"velocities are asked within [0, 1] only; found t from {times.min():.9g} to {times.max():.9g}"
        )

    @pytest.mark.parametrize("grid", GRIDS)
    @pytest.mark.parametrize("steps", [1, 2, 5])
    def test_is_exact_on_constant_velocities(self, component: Any, steps: int, grid: Callable[[int], Tensor]) -> None:
        self._skip_if_random()
        x_0, v = torch.randn(2, 6, 3, dtype=torch.float64, generator=generator())
        x_1 = component.integrate(CountedField(lambda x, t: v.clone()), x_0, grid(steps))
        error = (x_1 - x_0 - v).abs().max().item()
        assert error <= 1e-12, f"straight trajectories are followed exactly, at any step; the error is {error:.3g}"

    def test_repeats(self, component: Any) -> None:
        """A solver may keep nothing between two calls, and draws only from the velocity's generator."""
        problem = PROBLEMS[2]
        first = component.integrate(CountedField(problem.velocity), problem.x_0, uniform_times(5))
        component.integrate(CountedField(problem.velocity), problem.x_0.flip(0), uniform_times(3))
        again = component.integrate(CountedField(problem.velocity), problem.x_0, uniform_times(5))
        assert torch.equal(first, again), "the same call gives the same result, whatever was integrated in between"

    def _skip_if_random(self) -> None:
        if not self.deterministic:
            pytest.skip("the solver draws noise")


class SolverConformance(AnySolverConformance):
    """A solver on a given grid: declared evaluations and order are what is measured.

    Attributes:
        order_steps: the numbers of steps at which errors are measured, each twice the one before.
        order_tolerance: how far the measured order may be from the declared one.
    """

    order_steps: ClassVar[tuple[int, ...]] = (8, 16, 32, 64, 128)
    order_tolerance: ClassVar[float] = 0.15

    @pytest.mark.parametrize("steps", [1, 2, 3, 4, 8, 17])
    def test_costs_what_it_declares(self, component: Any, steps: int) -> None:
        field = CountedField(PROBLEMS[0].velocity)
        component.integrate(field, PROBLEMS[0].x_0, uniform_times(steps))
        declared = component.nfe_per_step * steps + component.nfe_offset
        assert field.calls == declared, (
            f"{steps} steps call the velocity nfe_per_step*steps + nfe_offset = {declared} times; counted {field.calls}"
        )

    @pytest.mark.parametrize("problem", PROBLEMS, ids=lambda p: p.name)
    @pytest.mark.parametrize("grid", GRIDS)
    def test_converges_at_its_order(self, component: Any, problem: Problem, grid: Callable[[int], Tensor]) -> None:
        if component.order is None:
            pytest.skip("the solver declares no order")
        errors = [error_of(component, problem, grid(steps)) for steps in self.order_steps]
        order = measured_order(self.order_steps, errors)
        shown = ", ".join(f"{n}: {e:.2e}" for n, e in zip(self.order_steps, errors, strict=True))
        assert abs(order - component.order) <= self.order_tolerance, (
            f"the declared order is {component.order}, within {self.order_tolerance}; measured {order:.3f} on "
            f"{problem.name} (errors by steps {shown})"
        )

    @pytest.mark.parametrize("problem", PROBLEMS, ids=lambda p: p.name)
    def test_examples_do_not_interact(self, component: Any, problem: Problem) -> None:
        self._skip_if_random()
        together = component.integrate(CountedField(problem.velocity), problem.x_0, uniform_times(6))
        alone = [component.integrate(CountedField(problem.velocity), x[None], uniform_times(6)) for x in problem.x_0]
        error = (together - torch.cat(alone)).abs().max().item()
        assert error <= 1e-12, f"an example's result does not depend on its batch; it changes by {error:.3g} when alone"


class AdaptiveSolverConformance(AnySolverConformance):
    """A solver that chooses its own steps: it reaches its tolerance, whatever times it is handed.

    Attributes:
        tolerance: the largest error that the component, as it is constructed, may make on the test problems.
    """

    adaptive = True
    tolerance: ClassVar[float] = 1e-3

    @pytest.mark.parametrize("problem", PROBLEMS, ids=lambda p: p.name)
    def test_reaches_its_tolerance(self, component: Any, problem: Problem) -> None:
        error = error_of(component, problem, uniform_times(1))
        assert error <= self.tolerance, f"an error of at most {self.tolerance:g} on {problem.name}; found {error:.3g}"

    def test_ignores_the_grid(self, component: Any) -> None:
        self._skip_if_random()
        first, other = (
            component.integrate(CountedField(PROBLEMS[0].velocity), PROBLEMS[0].x_0, uniform_times(n)) for n in (1, 6)
        )
        assert torch.equal(first, other), "an adaptive solver takes only the two ends of the times"


def error_of(solver: Solver, problem: Problem, times: Tensor) -> float:
    """Return the largest error at t=1 over the batch of a problem."""
    x_1 = solver.integrate(CountedField(problem.velocity), problem.x_0, times)
    return (x_1 - problem.solution(problem.x_0)).abs().max().item()


def measured_order(steps: tuple[int, ...], errors: list[float], rounding: float = 1e-12) -> float:
    """Return minus the slope of log error against log steps, by least squares over the three finest usable points.

    Errors below `rounding` say nothing about the method. Returns NaN with fewer than two errors above it.
    """
    points = [(math.log(n), math.log(e)) for n, e in zip(steps, errors, strict=True) if e > rounding][-3:]
    if len(points) < 2:
        return math.nan
    x, y = (torch.tensor(column, dtype=torch.float64) for column in zip(*points, strict=True))
    x, y = x - x.mean(), y - y.mean()
    return -((x * y).sum() / (x * x).sum()).item()
