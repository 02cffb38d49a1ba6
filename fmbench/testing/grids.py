"""Conformance of time grids."""

from __future__ import annotations

from typing import Any

import torch

from fmbench.contracts import Grid
from fmbench.testing.base import ComponentConformance

MOST_STEPS = 64


class GridConformance(ComponentConformance):
    """A grid: from exactly 0 to exactly 1, strictly increasing, in float64, for 1 to 64 steps."""

    contract = Grid

    def test_times(self, component: Any) -> None:
        for steps in range(1, MOST_STEPS + 1):
            times = component.times(steps)
            assert times.dtype == torch.float64, f"times are float64; found {times.dtype}"
            assert times.shape == (steps + 1,), f"{steps} steps have {steps + 1} times; found {tuple(times.shape)}"
            ends = (times[0].item(), times[-1].item())
            assert ends == (0.0, 1.0), f"times go from exactly 0 to exactly 1; {steps} steps go {ends[0]} to {ends[1]}"
            smallest = times.diff().min().item()
            assert smallest > 0, f"times increase strictly; the smallest of {steps} steps is {smallest:.3g}"

    def test_times_stay_apart_in_float32(self, component: Any) -> None:
        smallest = component.times(MOST_STEPS).float().diff().min().item()
        assert smallest > 0, f"times increase strictly in float32, in which networks see them; a step is {smallest:.3g}"

    def test_repeats(self, component: Any) -> None:
        assert torch.equal(component.times(7), component.times(7)), "the same number of steps has the same times"
