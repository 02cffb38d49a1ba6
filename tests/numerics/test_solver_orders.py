"""Where orders of convergence come from: the ends of a path for multistep methods, the ends of a grid for all."""

from __future__ import annotations

import pytest
import torch
from helpers import built_ins
from torch import Tensor

from fmbench import AffinePath
from fmbench.testing.dummy_components import CountedField
from fmbench.testing.ode_problems import PROBLEMS, ODEProblem, uniform_times
from fmbench.testing.solvers import errors_of, measured_order

REGISTRY = built_ins()


class Inner(AffinePath):
    """A path that keeps some data at t=0 and some noise at t=1, so that ln(alpha/sigma) is finite at both ends."""

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        one = torch.ones_like(t)
        return 0.2 + 0.6 * t, 0.8 - 0.6 * t, 0.6 * one, -0.6 * one


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda p: p.name)
@pytest.mark.parametrize(("solver", "order"), [("ddim", 1), ("dpmpp_2m", 2), ("unipc", 3)])
def test_between_the_ends_of_a_path_diffusion_solvers_have_their_papers_order(
    solver: str, order: int, problem: ODEProblem
) -> None:
    """UniPC-2's corrector raises the predictor's order by one, and nothing has a logarithm."""
    component = REGISTRY.build(REGISTRY.spec("solver", solver))
    errors = []
    for steps in (32, 64, 128, 256):
        x_1 = component.integrate(CountedField(problem.velocity, Inner()), problem.x_0, uniform_times(steps))
        errors.append((x_1 - problem.solution(problem.x_0)).flatten())
    assert measured_order(errors) == pytest.approx(order, abs=0.1)


@pytest.mark.parametrize(
    ("solver", "ends", "order"),
    [
        ("euler", (3.0, 1.0), 2 / 3),
        ("midpoint", (2.0, 1.0), 3 / 2),
        ("rk4", (2.0, 2.0), 5 / 2),
        ("ab2", (3.0, 1.0), 2 / 3),
        ("heun_edm", (1.0, 3.0), 2 / 3),
    ],
)
def test_beta_grids_with_exponents_above_1_lower_the_order(
    solver: str, ends: tuple[float, float], order: float
) -> None:
    """One step of size N^(-1/exponent) has an error of order p + 1 in its size, p being 1 for a step of Euler's."""
    component = REGISTRY.build(REGISTRY.spec("solver", solver))
    grid = REGISTRY.build(REGISTRY.spec("grid", "beta", {"alpha": ends[0], "beta": ends[1]}))
    errors = [errors_of(component, PROBLEMS[1], grid.times(steps)) for steps in (128, 256, 512)]
    assert measured_order(errors) == pytest.approx(order, abs=0.1)


@pytest.mark.parametrize("logarithm", [False, True])
@pytest.mark.parametrize("order", [1, 2, 3, 1.7])
def test_the_measured_order_is_the_exponent(order: float, logarithm: bool) -> None:
    """Errors made up from the model; the second number of the state falls faster, changes sign, and is not followed."""
    steps = torch.tensor([64.0, 128.0, 256.0], dtype=torch.float64)
    lead = 0.3 * steps.log() + 1.5 if logarithm else 0.7 + 2 / steps
    errors = torch.stack([steps**-order * lead, steps**-order * (20 / steps - 0.1)], dim=1)
    assert measured_order(list(errors), logarithm) == pytest.approx(order, abs=2e-3)
    assert measured_order(list(-errors), logarithm) == measured_order(list(errors), logarithm)


def test_a_logarithm_is_not_taken_for_order() -> None:
    """Without it in the model the estimate is off; with it, an error without one is not taken for a better one."""
    steps = torch.tensor([256.0, 512.0, 1024.0], dtype=torch.float64)
    logarithmic = list((steps**-2 * (steps.log() - 3))[:, None])
    assert measured_order(logarithmic) < 1.85
    assert measured_order(logarithmic, logarithm=True) == pytest.approx(2, abs=1e-6)
    plain = list((steps**-1.5 * (1 + 1 / steps))[:, None])
    assert measured_order(plain, logarithm=True) == pytest.approx(1.5, abs=0.1)
