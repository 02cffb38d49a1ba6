"""Every built-in solver conforms."""

import pytest
from built_ins import Case, cases

from fmbench.testing import AdaptiveSolverConformance, SolverConformance

CASES = cases("solver")
FIXED = [case for case in CASES if not case.build().adaptive]
TOLERANCE = 1e-4
ADAPTIVE = [Case("solver", case.name, {"rtol": TOLERANCE, "atol": TOLERANCE}) for case in CASES if case not in FIXED]

ERROR_BY_TOLERANCE = {"fehlberg2": 1000}
"""How many times its tolerance a method may be wrong: fehlberg2 estimates an error far below the one that it makes."""


class TestFixedSolvers(SolverConformance):
    @pytest.fixture(params=FIXED, ids=str)
    def component(self, request):
        return request.param.build()


class TestAdaptiveSolvers(AdaptiveSolverConformance):
    @pytest.fixture(params=ADAPTIVE, ids=str)
    def component(self, request):
        self.tolerance = ERROR_BY_TOLERANCE.get(request.param.name, 30) * TOLERANCE
        return request.param.build()
