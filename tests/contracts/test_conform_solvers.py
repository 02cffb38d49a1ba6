"""Every built-in solver conforms; the adaptive ones with a tolerance of 1e-6 and with their defaults."""

import pytest
from built_ins import cases

from fmbench.testing import SolverConformance

TIGHT = {"rtol": 1e-6, "atol": 1e-6}
DEFAULTS = cases("solver")
FIXED = [case for case in DEFAULTS if not case.build().adaptive]
ADAPTIVE = [case for case in DEFAULTS if case.build().adaptive]


class TestFixedSolvers(SolverConformance):
    @pytest.fixture(params=FIXED, ids=str)
    def component(self, request):
        return request.param.build()


class TestAdaptiveSolvers(SolverConformance):
    tolerance = 1e-3

    @pytest.fixture(params=ADAPTIVE, ids=str)
    def component(self, request):
        return request.param.build()


class TestTightAdaptiveSolvers(SolverConformance):
    tolerance = 1e-4

    @pytest.fixture(params=cases("solver", [(c.name, TIGHT) for c in ADAPTIVE])[len(DEFAULTS) :], ids=str)
    def component(self, request):
        return request.param.build()
