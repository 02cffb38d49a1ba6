"""Guidance against diffusers' guiders: the same outputs of networks in, the same guided output out.

diffusers has noise at t=1, so that its flows are minus ours; guided outputs are linear or homogeneous in them. Its APG
is defined on predictions of the data, which are made of velocities here. Its `use_original_formulation` adds to the
conditional output, with a weight that is one less.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers import built_ins
from torch import Generator, Tensor

from fmbench.components.contracts import Guidance
from fmbench.components.free_velocity import FreeVelocity
from fmbench.testing.dummy_components import StraightPath

guiders = pytest.importorskip("diffusers.guiders")
apg = pytest.importorskip("diffusers.guiders.adaptive_projected_guidance")

REGISTRY = built_ins()
SHAPE = (4, 3, 5, 5)
STEPS = 4
CLOSE = {"rtol": 1e-6, "atol": 1e-6}
WEAKER = {"network": "mlp"}


class GivenVelocities(FreeVelocity):
    """Velocities that are there already, one a step, whatever they are asked for."""

    def __init__(self, conditional: Tensor, other: Tensor) -> None:
        super().__init__(StraightPath())
        self.given, self.other, self.step = conditional, other, 0

    def conditional(self, x: Tensor, t: Tensor) -> Tensor:
        return self.given[self.step]

    def unconditional(self, x: Tensor, t: Tensor) -> Tensor:
        return self.other[self.step]

    weaker = unconditional


@pytest.fixture(scope="module")
def drawn() -> tuple[Tensor, Tensor, Tensor]:
    """States, conditional and other velocities, of each step."""
    x, one, other = torch.randn(3, STEPS, *SHAPE, generator=Generator().manual_seed(0), dtype=torch.float64)
    return x, one, other


def build(name: str, parameters: dict[str, Any]) -> Guidance:
    return REGISTRY.build(REGISTRY.spec("guidance", name, parameters))  # type: ignore[return-value]


def guided(guidance: Guidance, drawn: tuple[Tensor, Tensor, Tensor]) -> list[Tensor]:
    x, one, other = drawn
    calls, found = GivenVelocities(one, other), []
    for calls.step in range(STEPS):
        t = torch.full(SHAPE[:1], calls.step / STEPS, dtype=torch.float64)
        found.append(guidance.velocity(calls, x[calls.step], t))
    return found


@pytest.mark.parametrize("weight", [-0.5, 0.0, 1.0, 2.5])
def test_classifier_free_guidance(weight: float, drawn: tuple[Tensor, Tensor, Tensor]) -> None:
    guider = guiders.ClassifierFreeGuidance(guidance_scale=weight)
    for v, one, other in zip(guided(build("classifier_free", {"weight": weight}), drawn), *drawn[1:], strict=True):
        torch.testing.assert_close(-v, guider.forward(-one, -other).pred, **CLOSE)


def test_an_interval_is_a_range_of_steps(drawn: tuple[Tensor, Tensor, Tensor]) -> None:
    """Euler's steps at 0, 1/4, 1/2 and 3/4: half a range ends before the step that it ends at, in both."""
    guider = guiders.ClassifierFreeGuidance(guidance_scale=3.0, start=0.25, stop=0.75)
    found = guided(build("interval", {"weight": 3.0, "start": 0.25, "end": 0.75}), drawn)
    for step, (v, one, other) in enumerate(zip(found, *drawn[1:], strict=True)):
        guider.set_state(step, STEPS, torch.tensor(0))
        torch.testing.assert_close(-v, guider.forward(-one, -other).pred, **CLOSE)
        assert torch.equal(v, one) is (step in (0, 3))


@pytest.mark.parametrize("zero_init", [0, 1, 2])
@pytest.mark.parametrize("weight", [1.0, 3.0])
def test_cfg_zero_star(weight: float, zero_init: int, drawn: tuple[Tensor, Tensor, Tensor]) -> None:
    guider = guiders.ClassifierFreeZeroStarGuidance(guidance_scale=weight, zero_init_steps=zero_init)
    found = guided(build("cfg_zero_star", {"weight": weight, "zero_init": zero_init}), drawn)
    for step, (v, one, other) in enumerate(zip(found, *drawn[1:], strict=True)):
        guider.set_state(step, STEPS, torch.tensor(0))
        torch.testing.assert_close(-v, guider.forward(-one, -other).pred, **CLOSE)


@pytest.mark.parametrize("momentum", [0.0, -0.75])
@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("norm_threshold", [0.0, 2.5, 1000.0])
def test_apg(momentum: float, eta: float, norm_threshold: float, drawn: tuple[Tensor, Tensor, Tensor]) -> None:
    guider = guiders.AdaptiveProjectedGuidance(
        guidance_scale=4.0 - 1,
        adaptive_projected_guidance_rescale=norm_threshold,
        eta=eta,
        use_original_formulation=True,
    )
    guider.momentum_buffer = apg.MomentumBuffer(momentum)
    parameters = {"weight": 4.0, "eta": eta, "norm_threshold": norm_threshold, "momentum": momentum}
    found = guided(build("apg", parameters), drawn)
    for step, (v, x, one, other) in enumerate(zip(found, *drawn, strict=True)):
        left = 1 - step / STEPS  # x_1 = x + (1-t) v on the straight path
        data = guider.forward(x + left * one, x + left * other).pred
        torch.testing.assert_close(x + left * v, data, **CLOSE)


@pytest.mark.parametrize("weight", [0.0, 1.0, 2.0])
def test_autoguidance(weight: float, drawn: tuple[Tensor, Tensor, Tensor]) -> None:
    guider = guiders.AutoGuidance(guidance_scale=weight, auto_guidance_layers=[0], dropout=0.1)
    found = guided(build("autoguidance", {"weight": weight, "model": WEAKER}), drawn)
    for v, one, other in zip(found, *drawn[1:], strict=True):
        torch.testing.assert_close(-v, guider.forward(-one, -other).pred, **CLOSE)
