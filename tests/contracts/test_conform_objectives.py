"""Every built-in objective conforms."""

import pytest
from built_ins import cases

from fmbench.testing import ObjectiveConformance


class TestObjectives(ObjectiveConformance):
    @pytest.fixture(params=cases("objective"), ids=str)
    def component(self, request):
        return request.param.build()
