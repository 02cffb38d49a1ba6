"""Every built-in coupling conforms."""

import pytest
from built_ins import cases

from fmbench.testing import CouplingConformance

VARIANTS = [("sinkhorn", {"reg": 1e-4}), ("sinkhorn", {"reg": 100.0}), ("conditional_ot", {"weight": 0.0})]


class TestCouplings(CouplingConformance):
    @pytest.fixture(params=cases("coupling", VARIANTS), ids=str)
    def component(self, request):
        return request.param.build()
