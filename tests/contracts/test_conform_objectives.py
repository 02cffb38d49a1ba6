"""Every built-in objective conforms."""

import pytest
from built_ins import cases

from fmbench import expand
from fmbench.testing import ObjectiveConformance

PERFECT = {
    "x1_prediction": lambda sample: sample.x_1,
    "noise_prediction": lambda sample: sample.x_0,
    "displacement_over_t": lambda sample: (sample.x_1 - sample.x_0) / expand(sample.t, sample.x_0),
}
"""The perfect output, where it is not the velocity."""
NOT_A_VELOCITY = {"displacement_over_t"}


class TestObjectives(ObjectiveConformance):
    @pytest.fixture(params=cases("objective"), ids=str)
    def component(self, request):
        self.perfect = PERFECT.get(request.param.name)
        self.is_velocity = request.param.name not in NOT_A_VELOCITY
        return request.param.build()

    def perfect_output(self, sample, path):
        return sample.dx_t if self.perfect is None else self.perfect(sample)
