"""Every built-in solver conforms."""

import pytest
from built_ins import Case, cases

from fmbench.testing import AdaptiveSolverConformance, SolverConformance

CASES = cases("solver")
FIXED = [case for case in CASES if not case.build().adaptive]
TOLERANCE = 1e-4
ADAPTIVE = [Case("solver", case.name, {"rtol": TOLERANCE, "atol": TOLERANCE}) for case in CASES if case not in FIXED]

STOCHASTIC = {"stochastic_euler"}

LATE = dict.fromkeys(("dpmpp_2m", "heun_edm", "unipc"), (1024, 2048, 4096))
"""Methods whose few steps of first order show only late: their steps between count for more at first."""
LOGARITHMIC = {"dpmpp_2m": 0.25}
"""Near the data h does not shrink with the steps, and 2M's error is N^-2 ln N: an order of 2 - 1/ln N is measured."""

ERROR_BY_TOLERANCE = {"fehlberg2": 1000}
"""How many times its tolerance a method may be wrong: fehlberg2 estimates an error far below the one that it makes."""


class TestFixedSolvers(SolverConformance):
    @pytest.fixture(params=FIXED, ids=str)
    def component(self, request):
        self.order_steps = LATE.get(request.param.name, self.order_steps)
        self.order_tolerance = LOGARITHMIC.get(request.param.name, self.order_tolerance)
        self.deterministic = request.param.name not in STOCHASTIC
        return request.param.build()


class TestAdaptiveSolvers(AdaptiveSolverConformance):
    @pytest.fixture(params=ADAPTIVE, ids=str)
    def component(self, request):
        self.tolerance = ERROR_BY_TOLERANCE.get(request.param.name, 30) * TOLERANCE
        return request.param.build()
