"""Every built-in coupling conforms."""

import pytest
from built_ins import cases

from fmbench.testing import CouplingConformance


class TestCouplings(CouplingConformance):
    @pytest.fixture(params=cases("coupling"), ids=str)
    def component(self, request):
        return request.param.build()
