"""Every built-in objective conforms."""

import pytest
from built_ins import Case, cases
from lpips_weights import write_weights

from fmbench import expand
from fmbench.testing import ObjectiveConformance

PERFECT = {
    "x1_prediction": lambda sample: sample.x_1,
    "noise_prediction": lambda sample: sample.x_0,
    "displacement_over_t": lambda sample: (sample.x_1 - sample.x_0) / expand(sample.t, sample.x_0),
}
"""The perfect output, where it is not the velocity."""
NOT_A_VELOCITY = {"displacement_over_t"}
VARIANTS = [("pseudo_huber", {"scale": "d"})]
SIZE_FACTOR = {"pseudo_huber(scale=d)": 30}
"""The authors' code divides a length by d: it falls as the root of the dimension."""
NEED_FILES = ["lpips_huber"]


class TestObjectives(ObjectiveConformance):
    @pytest.fixture(params=cases("objective", VARIANTS, without=NEED_FILES), ids=str)
    def component(self, request):
        self.size_factor = SIZE_FACTOR.get(str(request.param), self.size_factor)
        self.perfect = PERFECT.get(request.param.name)
        self.is_velocity = request.param.name not in NOT_A_VELOCITY
        return request.param.build()

    def perfect_output(self, sample, path):
        return sample.dx_t if self.perfect is None else self.perfect(sample)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_weights(tmp_path_factory.mktemp("lpips"))


class TestLPIPSHuber(ObjectiveConformance):
    size_factor = 4  # what a picture and its brighter copy look like depends on its size

    @pytest.fixture(params=[False, True], ids=["alone", "by_time"])
    def component(self, request, files):
        return Case("objective", "lpips_huber", {**files, "size": 16, "by_time": request.param}).build()
