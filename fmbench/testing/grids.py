"""Conformance of time grids."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch

from fmbench.components.contracts import Grid
from fmbench.components.solver_times import fault_of, solver_times
from fmbench.testing.base import ComponentConformance
from fmbench.testing.parametrize import skip_if

STEPS = (*range(1, 65), 100, 128, 250, 256, 500, 512, 999, 1000)


class GridConformance(ComponentConformance):
    """A grid: from exactly 0 to exactly 1, strictly increasing in float64 and in float32, for 1 to 1000 steps.

    Attributes:
        largest_step: the power of the number of steps as which the largest step falls, at least. Below 1 it lowers the
            order of solvers: one step of a method of order p makes an error of order p + 1 in its size.
    """

    contract = Grid
    largest_step: ClassVar[float] = 1.0

    def test_times(self, component: Any) -> None:
        """0 = t_0 < t_1 < ... < t_N = 1 exactly, in float64, for 1 to 1000 steps N."""
        for steps in STEPS:
            times = component.times(steps)
            assert times.dtype == torch.float64, f"times are float64; found {times.dtype}"
            assert times.shape == (steps + 1,), f"{steps} steps have {steps + 1} times; found {tuple(times.shape)}"
            ends = (times[0].item(), times[-1].item())
            assert ends == (0.0, 1.0), f"times go from exactly 0 to exactly 1; {steps} steps go {ends[0]} to {ends[1]}"
            smallest = times.diff().min().item()
            assert smallest > 0, f"times increase strictly; the smallest of {steps} steps is {smallest:.3g}"

    def test_times_stay_apart_in_float32(self, component: Any) -> None:
        """t_i < t_(i+1) in float32 too, in which networks see them."""
        for steps in STEPS:
            smallest = component.times(steps).float().diff().min().item()
            assert smallest > 0, (
                f"times increase strictly in float32, which networks see; of {steps} steps one is {smallest:.3g}"
            )

    def test_says_what_a_plan_may_rely_on(self, component: Any) -> None:
        """Up to `distinct_steps` steps the times increase in float32, with default parameters."""
        known = component.distinct_steps
        skip_if(not known, "distinct_steps is 0: a plan asks for the times themselves")
        usual = type(component)()
        for steps in (*(n for n in STEPS if n < known), known):
            fault = fault_of(solver_times(usual, steps))
            assert not fault, f"distinct_steps is {known}, but {fault}"

    def test_every_step_shrinks(self, component: Any) -> None:
        """The largest step falls as N^-`largest_step`, that is as 1/N: else solvers lose their order."""
        coarse, fine = (component.times(steps).diff().max().item() for steps in (1000, 4000))
        power = math.log(coarse / fine, 4)
        assert power >= self.largest_step - 0.05, (
            f"the largest step falls as steps^-{self.largest_step:g}, so that solvers converge at their order; "
            f"measured steps^-{power:.3f}, from {coarse:.3g} with 1000 steps to {fine:.3g} with 4000"
        )

    def test_repeats(self, component: Any) -> None:
        """times(N) depends on N alone."""
        assert torch.equal(component.times(7), component.times(7)), "the same number of steps has the same times"
