"""Every built-in guidance conforms."""

import pytest
import torch
from built_ins import Case, cases, names

from fmbench.components.free_velocity import FreeVelocity
from fmbench.testing import GuidanceConformance
from fmbench.testing.dummy_components import StraightPath

WEAKER = {"network": {"mlp": {"width": 16}}}

VARIANTS = [
    ("apg", {"weight": 4.0}),
    ("apg", {"weight": 4.0, "eta": 0.5, "norm_threshold": 0.5}),
    ("apg", {"weight": 4.0, "momentum": -0.5, "norm_threshold": 1.0}),
    ("autoguidance", {"weight": 2.0, "model": WEAKER}),
    ("autoguidance", {"weight": 0.0, "model": WEAKER}),
    ("autoguidance", {"weight": 1.0, "model": WEAKER}),
    ("cfg_zero_star", {"weight": 3.0}),
    ("cfg_zero_star", {"weight": 3.0, "zero_init": 0}),
    ("classifier_free", {"weight": 0.0}),
    ("classifier_free", {"weight": 1.0}),
    ("classifier_free", {"weight": 3.0}),
    ("interval", {"weight": 3.0}),
    ("interval", {"weight": 3.0, "start": 0.0, "end": 1.0}),
]
"""All have a weight that no guidance has by default."""

NEUTRAL = {"autoguidance": {"model": WEAKER}, "cfg_zero_star": {"zero_init": 0}}
"""What changes nothing, beside the weight 1."""


def test_every_built_in_is_among_them() -> None:
    assert {name for name, _ in VARIANTS} == set(names("guidance"))


class TestGuidance(GuidanceConformance):
    @pytest.fixture(params=cases("guidance", VARIANTS, without=names("guidance")), ids=str)
    def component(self, request):
        self.case = request.param
        return request.param.build()

    def unguided(self, component):
        return type(component)(weight=1.0, **NEUTRAL.get(self.case.name, {}))


def test_an_interval_of_noise_levels_turns_round():
    """Guidance where sigma_lo < sigma <= sigma_hi, sigma = (1-t)/t on the linear path."""
    low, high = 0.28, 2.9
    parameters = {"weight": 3.0, "start": 1 / (1 + high), "end": 1 / (1 + low)}
    guidance, calls = Case("guidance", "interval", parameters).build(), FreeVelocity(StraightPath())
    levels = torch.logspace(-3, 2, 200, dtype=torch.float64)
    x, t = torch.ones(len(levels), 2, dtype=torch.float64), 1 / (1 + levels)
    guided = (guidance.velocity(calls, x, t) != calls.conditional(x, t)).all(1)
    assert torch.equal(guided, (levels > low) & (levels <= high))
    assert 0 < guided.sum() < len(levels)
