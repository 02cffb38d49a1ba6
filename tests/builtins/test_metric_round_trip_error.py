"""The round trip of data to noise and back: closed forms, orders as slopes, labels, and what has none.

With a trained network, guidance and weights it is tested beside solver_error, in test_metric_solver_error.py.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from helpers import built_ins
from torch import Tensor

from fmbench import Evidence
from fmbench.errors import Diverged, NotDefined
from fmbench.testing import make_evidence
from fmbench.testing.dummy_components import CountedField, TwoBlobs
from fmbench_metrics.round_trip_error import RoundTripError
from fmbench_metrics.solver_error import flow_ends

REGISTRY = built_ins()


def build(kind: str, name: str) -> Any:
    return REGISTRY.build(REGISTRY.spec(kind, name))


def growth(x: Tensor, t: Tensor) -> Tensor:
    """Return the velocity whose flow multiplies by e."""
    return x


def bent(x: Tensor, t: Tensor) -> Tensor:
    """Return a smooth velocity that mixes the dimensions and changes with t."""
    return torch.sin(2 * x.flip(1) + 3 * t[:, None]) + t[:, None] * x


class Precise(TwoBlobs):
    """The blobs in float64, so that only the methods' errors are left."""

    def load(self, split: Any) -> tuple[Tensor, Tensor | None]:
        x, y = super().load(split)
        return x.double(), y


def with_solver(field: Any, solver: str, steps: int) -> Evidence:
    """Return evidence of a field that is solved in so many steps."""
    evidence = make_evidence(Precise())
    evidence.velocity = velocity = CountedField(field, evidence.path)
    times = torch.linspace(0, 1, steps + 1, dtype=torch.float64)

    def solve(x_0: Tensor, y: Tensor | None) -> Tensor:
        velocity.y = y
        found: Tensor = build("solver", solver).integrate(velocity, x_0, times)
        return found

    evidence.solve = solve
    return evidence


@pytest.mark.parametrize("steps", [1, 2, 10])
def test_eulers_trip_on_exponential_growth_is_the_closed_form(steps: int) -> None:
    data = Precise().load("test")[0]
    expected = (1 - (1 + 1 / steps) ** steps / math.e) * float(data.square().mean().sqrt())
    values = RoundTripError(points=len(data)).compute(with_solver(growth, "euler", steps))
    assert values["round_trip_error"] == pytest.approx(expected, rel=1e-6)
    assert values["round_trip_error_reference"] < 1e-7


@pytest.mark.parametrize(
    ("solver", "order", "steps"), [("euler", 1, 64), ("heun", 2, 32), ("ab2", 2, 64), ("rk4", 4, 12)]
)
def test_its_slope_over_nfe_is_minus_the_solvers_order(solver: str, order: int, steps: int) -> None:
    coarse, fine = (
        RoundTripError(points=50).compute(with_solver(bent, solver, n))["round_trip_error"] for n in (steps, 2 * steps)
    )
    assert math.log2(coarse / fine) == pytest.approx(order, abs=0.15)


def test_the_reference_is_the_fine_method_s_own_trip() -> None:
    """With few steps it is what is left where the solver makes no error of its own."""
    evidence = with_solver(bent, "euler", 1)
    evidence.solve = lambda x_0, y: flow_ends(evidence.velocity, x_0, 8)
    values = RoundTripError(steps=8).compute(evidence)
    assert values["round_trip_error"] == values["round_trip_error_reference"] > 1e-5
    assert RoundTripError(steps=16).compute(evidence)["round_trip_error_reference"] < values["round_trip_error"] / 8


def test_the_way_back_is_the_way_there() -> None:
    x = Precise().load("test")[0]
    there = flow_ends(CountedField(bent), x, 128)
    assert torch.allclose(flow_ends(CountedField(bent), there, 128, backwards=True), x, atol=1e-7)


def test_each_example_goes_both_ways_under_its_own_label() -> None:
    """In more than one batch, with velocities that are the labels; the labels that were there are put back."""
    evidence = make_evidence(TwoBlobs())
    labels = evidence.real("test")[1]
    assert labels is not None
    seen: list[Tensor] = []

    class ByLabel(CountedField):
        def __call__(self, x: Tensor, t: Tensor) -> Tensor:
            assert self.y is not None
            return self.y[:, None].to(x).expand_as(x)

    evidence.velocity, evidence.classes = ByLabel(growth, evidence.path), 2
    evidence.velocity.y = mine = torch.zeros(1, dtype=torch.int64)

    def solve(x_0: Tensor, y: Tensor | None) -> Tensor:
        assert y is not None
        seen.append(y)
        return x_0 + y[:, None]

    evidence.solve = solve
    metric = RoundTripError(points=len(labels))
    assert metric.compute(evidence)["round_trip_error"] < 1e-6
    assert torch.equal(torch.cat(seen).sort().values, labels.sort().values)
    assert len(seen) == -(-len(labels) // 256)
    assert evidence.velocity.y is mine
    assert metric.identity(evidence)["labels"] is True


def test_the_noise_is_found_once_for_all_solvers_of_a_velocity() -> None:
    evidence = with_solver(growth, "euler", 1)
    RoundTripError().compute(evidence)
    calls = evidence.velocity.calls  # type: ignore[attr-defined]
    RoundTripError().compute(evidence)
    assert evidence.velocity.calls - calls == 1  # type: ignore[attr-defined]


def test_what_has_no_round_trip_says_why() -> None:
    evidence = with_solver(growth, "euler", 1)
    evidence.solve = None
    with pytest.raises(NotDefined, match="draws noise"):
        RoundTripError().compute(evidence)
    with pytest.raises(Diverged, match="the flow takes 256 of 256 test examples to noise that are not finite"):
        RoundTripError().compute(with_solver(lambda x, t: x / 0, "euler", 1))
    evidence = with_solver(growth, "euler", 1)
    evidence.solve = lambda x_0, y: x_0 / 0
    with pytest.raises(Diverged, match="the solver takes 256 of 256"):
        RoundTripError().compute(evidence)
