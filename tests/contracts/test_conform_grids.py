"""Every built-in grid conforms."""

import pytest
from built_ins import cases

from fmbench.testing import GridConformance

VARIANTS = [
    ("beta", {"alpha": 1.0, "beta": 1.0}),
    ("beta", {"alpha": 0.4, "beta": 2.0}),
    ("beta", {"alpha": 3.0, "beta": 1.0}),
    ("edm", {"rho": 1.0}),
    ("edm", {"rho": 3.0, "sigma_max": 10.0}),
    ("linear_quadratic", {"tau": 0.3}),
    ("linear_quadratic", {"tau": 0.5}),
    ("shift", {"s": 0.2}),
    ("shift", {"s": 12.0}),
]

LARGEST_STEP = {"beta(alpha=0.4,beta=2.0)": 1 / 2, "beta(alpha=3.0,beta=1.0)": 1 / 3}
"""A beta grid's steps at an end fall as steps^-(1/exponent), which is slow where the exponent is above 1."""


class TestGrids(GridConformance):
    @pytest.fixture(params=cases("grid", VARIANTS), ids=str)
    def component(self, request):
        self.largest_step = LARGEST_STEP.get(str(request.param), self.largest_step)
        return request.param.build()
