"""Conformance of solvers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from fmbench.components.contracts import Solver
from fmbench.testing.base import ComponentConformance, assert_form_of, generator
from fmbench.testing.dummy_components import CountedField
from fmbench.testing.few_steps import GIVEN, STEPS, exact_flow, gaussian_paths
from fmbench.testing.ode_problems import PROBLEMS, ODEProblem, grids, uniform_times
from fmbench.testing.parametrize import parametrize, skip_if

ROUNDING = 1e-12
"""Errors below it say nothing about a method."""
FACTOR_ROUNDING = 1e-9
"""What rounding may add to a distance that is Euler's own, relative to it."""


@dataclass(frozen=True)
class Convergence:
    """How a method's error falls on one grid: as steps^-order, or as steps^-order (A ln steps + B) with A not 0.

    `steps` are the numbers of steps, each twice the one before, at which it is to be seen.
    """

    order: int
    steps: tuple[int, ...]
    logarithm: bool = False


class AnySolverConformance(ComponentConformance):
    """What is asked of every solver; authors inherit SolverConformance or AdaptiveSolverConformance.

    Tests with a `grid` run on every grid that comes with fmbench, those with a `path` on every path that is affine to a
    normal source.

    Attributes:
        deterministic: set it to False for a solver that draws noise.
    """

    contract = Solver
    adaptive: ClassVar[bool] = False
    deterministic: ClassVar[bool] = True

    def test_declares_its_cost(self, component: Any) -> None:
        """`nfe_per_step` >= 1 and `nfe_offset` are integers, `order` is None or >= 1, `adaptive` as inherited."""
        assert component.adaptive is self.adaptive, (
            "solvers on a given grid inherit SolverConformance, adaptive ones AdaptiveSolverConformance; "
            f"adaptive is {component.adaptive}"
        )
        for name in ("nfe_per_step", "nfe_offset"):
            cost = getattr(component, name)
            assert isinstance(cost, int), f"{name} is an integer; found {cost!r}"
        assert component.nfe_per_step >= 1, f"a step costs at least one evaluation; found {component.nfe_per_step}"
        order = component.order
        assert order is None or order >= 1, f"order is at least 1, or None where it means nothing; found {order!r}"

    @parametrize("shape", [(2,), (3, 4, 4)])
    @parametrize("dtype", [torch.float32, torch.float64])
    def test_keeps_shape_and_dtype(self, component: Any, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        """x_1 has the shape and the dtype of x_0, and x_0 is not changed in place."""
        x_0 = torch.randn(5, *shape, dtype=dtype, generator=generator())
        before = x_0.clone()
        x_1 = component.integrate(CountedField(lambda x, t: -x), x_0, uniform_times(4).to(dtype))
        assert_form_of("x_0", x_0, "x_1", x_1)
        assert torch.equal(x_0, before), "a solver does not change x_0 in place"

    def test_leaves_velocities_alone(self, component: Any) -> None:
        """What velocity(x, t) returned is not changed in place: others are given the same tensor."""
        kept: list[tuple[Tensor, Tensor]] = []

        def velocity(x: Tensor, t: Tensor) -> Tensor:
            v = torch.cos(x)
            kept.append((v, v.clone()))
            return v

        component.integrate(CountedField(velocity), torch.linspace(0, 1, 6).reshape(3, 2), uniform_times(4).float())
        assert all(torch.equal(v, copy) for v, copy in kept), "a solver does not change returned velocities in place"

    @parametrize("grid", lambda: sorted(grids()))
    def test_stays_within_the_unit_interval(self, component: Any, grid: str) -> None:
        """velocity(x, t) is asked for 0 <= t <= 1 only."""
        field = CountedField(lambda x, t: torch.cos(9 * t)[:, None] * x)
        component.integrate(field, torch.ones(4, 2), grids()[grid].times(7).float())
        times = torch.cat(field.times)
        assert ((times >= 0) & (times <= 1)).all(), (
            f"velocities are asked within [0, 1] only; found t from {times.min():.9g} to {times.max():.9g}"
        )

    @parametrize("grid", lambda: sorted(grids()))
    def test_is_exact_on_constant_velocities(self, component: Any, grid: str) -> None:
        """Where dx/dt = v does not change, x_1 = x_0 + v, for any number of steps."""
        skip_if(not self.deterministic, "the solver draws noise")
        x_0, v = torch.randn(2, 6, 3, dtype=torch.float64, generator=generator())
        for steps in (1, 2, 5):
            x_1 = component.integrate(CountedField(lambda x, t: v.clone()), x_0, grids()[grid].times(steps))
            error = (x_1 - x_0 - v).abs().max().item()
            assert error <= 1e-12, f"straight trajectories are followed exactly; {steps} steps have error {error:.3g}"

    def test_repeats(self, component: Any) -> None:
        """integrate(velocity, x_0, times) depends on its arguments alone; noise is drawn from velocity.generator."""
        problem = PROBLEMS[2]
        first = component.integrate(CountedField(problem.velocity), problem.x_0, uniform_times(5))
        component.integrate(CountedField(problem.velocity), problem.x_0.flip(0), uniform_times(3))
        again = component.integrate(CountedField(problem.velocity), problem.x_0, uniform_times(5))
        assert torch.equal(first, again), "the same call gives the same result, whatever was integrated in between"


class SolverConformance(AnySolverConformance):
    """A solver on a given grid: declared evaluations and order are what is measured, on every grid of fmbench.

    Attributes:
        order_steps: the numbers of steps at which errors are measured, each twice the one before, at least three.
        order_tolerance: how far the measured order may be from the declared one.
        convergence_on: facts about the method on single grids, by the grid's name, where its error falls otherwise.
            They are asked for like the declared order is.
        behind_euler: for a multistep solver, by the path's name, where it ends further from the exact flow than Euler's
            method after some number of steps from 2 to 8, and at most how many times as far. These too are asked for:
            the largest factor is within a tenth of the declared one.
    """

    order_steps: ClassVar[tuple[int, ...]] = (8, 16, 32, 64, 128)
    order_tolerance: ClassVar[float] = 0.15
    convergence_on: ClassVar[Mapping[str, Convergence]] = {}
    behind_euler: ClassVar[Mapping[str, float]] = {}

    @parametrize("steps", [1, 2, 3, 4, 8, 17])
    def test_costs_what_it_declares(self, component: Any, steps: int) -> None:
        """N steps call the velocity nfe_per_step * N + nfe_offset times."""
        field = CountedField(PROBLEMS[0].velocity)
        component.integrate(field, PROBLEMS[0].x_0, uniform_times(steps))
        declared = component.nfe_per_step * steps + component.nfe_offset
        assert field.calls == declared, (
            f"{steps} steps call the velocity nfe_per_step*steps + nfe_offset = {declared} times; counted {field.calls}"
        )

    @parametrize("grid", lambda: sorted(grids()))
    @parametrize("problem", PROBLEMS, ids=lambda p: p.name)
    def test_converges_at_its_order(self, component: Any, problem: ODEProblem, grid: str) -> None:
        """Order p: halving every step divides the error by 2^p, that is error(h) = C h^p, where p is `order`."""
        skip_if(component.order is None, "the solver declares no order")
        expected = self.convergence_on.get(grid, Convergence(component.order, self.order_steps))
        errors = []
        for steps in expected.steps:
            errors.append(errors_of(component, problem, grids()[grid].times(steps)))
            if errors[-1].abs().max() < ROUNDING:
                break
        order = measured_order(errors, expected.logarithm)
        shown = ", ".join(f"{n}: {e.abs().max():.2e}" for n, e in zip(expected.steps, errors, strict=False))
        assert abs(order - expected.order) <= self.order_tolerance, (
            f"the declared order is {expected.order}, within {self.order_tolerance}; measured {order:.3f} on grid "
            f"{grid}, {problem.name} (errors by steps {shown})"
        )

    @parametrize("path", lambda: sorted(gaussian_paths()))
    def test_few_steps_end_no_further_than_eulers(self, component: Any, path: str) -> None:
        """With 2 to 8 equal steps, |x_1 - exact x_1| is at most Euler's, or `behind_euler` times as much.

        Asked of multistep solvers, with the exact velocity of a mixture of Gaussians: convergence is measured at many
        steps, and what a method extrapolates over few and large ones can do harm.
        """
        skip_if(not self.deterministic, "the solver draws noise")
        other = component.nfe_per_step > 1 or component.order is None or component.order < 2
        skip_if(other, "asked of solvers of order 2 or more whose step costs one evaluation")
        flow = exact_flow(path)
        lacking = set(component.requires) - GIVEN - set(flow.path.provides)
        skip_if(lacking, f"the solver needs {', '.join(sorted(lacking))}, which the path does not provide")
        factors = flow.behind_euler(component)
        steps, worst = max(factors.items(), key=lambda item: item[1])
        declared = self.behind_euler.get(path, 1.0)
        assert worst <= declared * (1 + FACTOR_ROUNDING), (
            f"with {STEPS[0]} to {STEPS[-1]} equal steps on path {path} a multistep solver ends no further from the "
            f"exact flow than {declared:g} times Euler's distance (behind_euler); {steps} steps end {worst:.3f} times"
        )
        assert path not in self.behind_euler or worst >= 0.9 * declared, (
            f"behind_euler declares {declared:g} for path {path}; found at most {worst:.3f}: declare that, or nothing"
        )

    @parametrize("problem", PROBLEMS, ids=lambda p: p.name)
    def test_examples_do_not_interact(self, component: Any, problem: ODEProblem) -> None:
        """Integrating a batch gives each example what integrating it alone gives."""
        skip_if(not self.deterministic, "the solver draws noise")
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

    @parametrize("problem", PROBLEMS, ids=lambda p: p.name)
    def test_reaches_its_tolerance(self, component: Any, problem: ODEProblem) -> None:
        """|x_1 - exact x_1| <= `tolerance` on problems with a known solution."""
        error = errors_of(component, problem, uniform_times(1)).abs().max().item()
        assert error <= self.tolerance, f"an error of at most {self.tolerance:g} on {problem.name}; found {error:.3g}"

    def test_ignores_the_grid(self, component: Any) -> None:
        """Of `times` an adaptive solver takes only the two ends, 0 and 1."""
        skip_if(not self.deterministic, "the solver draws noise")
        first, other = (
            component.integrate(CountedField(PROBLEMS[0].velocity), PROBLEMS[0].x_0, uniform_times(n)) for n in (1, 6)
        )
        assert torch.equal(first, other), "an adaptive solver takes only the two ends of the times"


def errors_of(solver: Solver, problem: ODEProblem, times: Tensor) -> Tensor:
    """Return what x_1 is wrong by, with its sign, for each number of the state: `(batch * dim,)`."""
    x_1 = solver.integrate(CountedField(problem.velocity), problem.x_0, times)
    return (x_1 - problem.solution(problem.x_0)).flatten()


def measured_order(errors: list[Tensor], logarithm: bool = False) -> float:
    """Return the order that the last three usable errors show, each made with twice the steps of the one before.

    Followed is one number of the state, the one that ends with the largest error: a maximum that changes from one to
    another has no order of its own. Local slopes still change with the steps, so they are extrapolated:

    - An error C N^-p + D N^-(p+1) has slopes p + c/N + O(N^-2), and twice the finer minus the coarser is p + O(N^-2).
    - With a logarithm, N^-p (A ln N + B), slopes go to p as 1/ln N, from below. But three such errors satisfy
      e'' - 2 q e' + q^2 e = 0 with q = 2^-p, and the smaller root is that q.

    Errors below ROUNDING are left out; with fewer than three others the result is NaN.
    """
    usable = [e for e in errors if e.abs().max() >= ROUNDING][-3:]
    if len(usable) < 3:
        return math.nan
    followed = usable[-1].abs().argmax()
    e, e_half, e_quarter = (each[followed].item() for each in usable)
    if logarithm:
        root = math.sqrt(max(e_half**2 - e * e_quarter, 0.0))
        return -math.log2(abs(min((e_half - root) / e, (e_half + root) / e, key=abs)))
    return 2 * math.log2(abs(e_half / e_quarter)) - math.log2(abs(e / e_half))
