"""Every built-in grid conforms."""

import pytest
from built_ins import cases

from fmbench.testing import GridConformance

VARIANTS = [
    ("beta", {"alpha": 1.0, "beta": 1.0}),
    ("beta", {"alpha": 0.4, "beta": 2.0}),
    ("edm", {"rho": 1.0}),
    ("edm", {"rho": 3.0, "sigma_max": 10.0}),
    ("shift", {"s": 0.2}),
    ("shift", {"s": 12.0}),
]


class TestGrids(GridConformance):
    @pytest.fixture(params=cases("grid", VARIANTS), ids=str)
    def component(self, request):
        return request.param.build()
