"""Every built-in solver conforms."""

import pytest
from built_ins import Case, cases

from fmbench.testing import AdaptiveSolverConformance, SolverConformance
from fmbench.testing.solvers import Convergence
from fmbench_solvers.stochastic_euler import OVER_SIGMA

VARIANTS = [
    *(("stochastic_euler", {"diffusion": form}) for form in OVER_SIGMA),
    ("stochastic_euler", {"diffusion": {"constant": 0.5}}),
    ("dpmpp_2m_sde", {"eta": 0.0}),
    ("euler_ancestral_rf", {"eta": 0.0}),
]
CASES = cases("solver", VARIANTS)
FIXED = [case for case in CASES if not case.build().adaptive]
TOLERANCE = 1e-4
ADAPTIVE = [Case("solver", case.name, {"rtol": TOLERANCE, "atol": TOLERANCE}) for case in CASES if case not in FIXED]

STOCHASTIC = {"ancestral", "dpmpp_2m_sde", "euler_ancestral_rf", "stochastic_euler"}
"""Solvers that draw noise, unless their eta is 0."""

ORDER_STEPS = dict.fromkeys(("dpmpp_2m", "heun_edm", "midpoint", "torchdiffeq_midpoint"), (64, 128, 256))
"""Methods of whose error the leading term is small on some problem, so that it shows only late."""

SINGULAR = ("cosine", "linear_quadratic", "shift", "uniform")
"""Grids that have steps no smaller than about 1/N at an end, where ln(alpha/sigma) goes to infinity."""
CONVERGENCE_ON = {
    # 2M's error in the j-th step from such an end is about N^-2/j, and the sum over j has a logarithm.
    "dpmpp_2m": dict.fromkeys(SINGULAR, Convergence(2, (256, 512, 1024), logarithm=True)),
    # UniPC's error of second order comes from these ends alone: between them, and where the steps vanish towards the
    # ends (beta) or are 15 times shorter than 1/N there (edm, up to some thousand steps), it is of third order.
    "unipc": {
        **dict.fromkeys(SINGULAR, Convergence(2, (384, 768, 1536))),
        "linear_quadratic": Convergence(2, (1024, 2048, 4096)),  # whose last step is nearly 4/N
        **dict.fromkeys(("beta", "edm"), Convergence(3, (64, 128, 256))),
    },
}

BEHIND_EULER = {
    # The velocity grows fastest early: at 2 steps on cosine, at 3 to 6 on vp, whose data come in from 0.7% on, and on
    # ddpm, which is vp in discrete steps.
    "ab2": {"cosine": 1.15, "ddpm": 1.35, "vp": 1.35},
    # Their first steps, and the last, are DDIM's, which on paths that bend is not Euler's: all 2 to 8 steps on cosine
    # and linear_vp for dpmpp_2m, 2 to 4 elsewhere.
    "dpmpp_2m": {"cosine": 1.75, "ddpm": 1.35, "linear_vp": 1.3, "vp": 1.35},
    "unipc": {"cosine": 1.75, "ddpm": 1.35, "linear_vp": 1.3, "vp": 1.35},
}
"""On which paths multistep solvers end further from the exact flow than Euler's method at 2 to 8 equal steps."""

ERROR_BY_TOLERANCE = {"fehlberg2": 1000}
"""How many times its tolerance a method may be wrong: fehlberg2 estimates an error far below the one that it makes."""


class TestFixedSolvers(SolverConformance):
    @pytest.fixture(params=FIXED, ids=str)
    def component(self, request):
        self.order_steps = ORDER_STEPS.get(request.param.name, self.order_steps)
        self.convergence_on = CONVERGENCE_ON.get(request.param.name, self.convergence_on)
        self.behind_euler = BEHIND_EULER.get(request.param.name, self.behind_euler)
        self.deterministic = request.param.name not in STOCHASTIC or request.param.parameters.get("eta") == 0
        return request.param.build()


class TestAdaptiveSolvers(AdaptiveSolverConformance):
    @pytest.fixture(params=ADAPTIVE, ids=str)
    def component(self, request):
        self.tolerance = ERROR_BY_TOLERANCE.get(request.param.name, 30) * TOLERANCE
        return request.param.build()
