"""Every built-in coupling conforms."""

import pytest
from built_ins import cases

from fmbench.testing import CouplingConformance

VARIANTS = [("conditional_ot", {"weight": 0.0})]


class TestCouplings(CouplingConformance):
    @pytest.fixture(params=cases("coupling", VARIANTS), ids=str)
    def component(self, request):
        return request.param.build()
