"""What grids promise of single times and steps."""

from __future__ import annotations

import pytest
import torch

from fmbench import Grid
from fmbench.plugins.registry import load_registry

REGISTRY = load_registry()
CLOSE = {"rtol": 0, "atol": 1e-14}


def linear_quadratic(**parameters: float) -> Grid:
    return REGISTRY.build(REGISTRY.spec("grid", "linear_quadratic", parameters))


@pytest.mark.parametrize("tau", [0.025, 0.1, 0.5])
def test_linear_quadratic_goes_from_0_to_1_and_only_forward(tau: float) -> None:
    for steps in range(1, 65):
        times = linear_quadratic(tau=tau).times(steps)
        assert times[0] == 0
        assert times[-1] == 1
        assert times.diff().min() > 0


@pytest.mark.parametrize("tau", [0.025, 0.1, 0.3])
@pytest.mark.parametrize("steps", [4, 5, 8, 33, 64])
def test_linear_quadratic_has_no_jump_in_value_or_slope(steps: int, tau: float) -> None:
    """Second differences: 0 before L, 2a after it, and a at L, which holds where the two pieces have one tangent."""
    times = linear_quadratic(tau=tau).times(steps)
    linear = steps // 2
    torch.testing.assert_close(times[linear], torch.tensor(tau, dtype=torch.float64), **CLOSE)
    second = times.diff().diff()  # the i-th is at i + 1
    torch.testing.assert_close(second[: linear - 1], torch.zeros(linear - 1, dtype=torch.float64), **CLOSE)
    after = second[linear:]
    assert after.min() > 1e-4
    torch.testing.assert_close(after, after[:1].expand_as(after), **CLOSE)
    torch.testing.assert_close(second[linear - 1], after[0] / 2, **CLOSE)


def test_linear_quadratic_in_one_step_and_at_a_half_is_uniform() -> None:
    for steps, tau in ((1, 0.025), (1, 0.5), (2, 0.5), (16, 0.5)):
        uniform = torch.arange(steps + 1, dtype=torch.float64) / steps
        torch.testing.assert_close(linear_quadratic(tau=tau).times(steps), uniform, **CLOSE)
