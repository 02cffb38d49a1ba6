"""Every built-in path conforms."""

import pytest
from built_ins import Case, cases, names

from fmbench import AffinePath
from fmbench.testing import AffinePathConformance, PathConformance

LEFT = {
    ("ddpm", None): 0.0064,
    ("ddpm", "scaled_linear"): 0.07,
    ("ddpm", "squaredcos_cap_v2"): 5e-5,
    ("icfm", None): 0.1,
    ("icfm", "0.0"): 0.0,
    ("lipman", None): 1e-4,
    ("lipman", "0.1"): 0.1,
    ("vp", None): 0.0066,
    ("vp", "10.0"): 0.08,
}
"""What a path leaves of the other draws at an end, as a standard deviation, by name and first parameter."""

VARIANTS = [
    ("ddpm", {"schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}),
    ("ddpm", {"schedule": "squaredcos_cap_v2"}),
    ("icfm", {"sigma": 0.0}),
    ("lipman", {"sigma_min": 0.0}),
    ("lipman", {"sigma_min": 0.1}),
    ("vp", {"beta_max": 10.0}),
    ("linear_vp", {"clip": 0.01}),
    ("polynomial", {"n": 1.0}),
    ("polynomial", {"n": 3.5}),
    ("schrodinger_bridge", {"sigma": 0.1}),
]
CASES = cases("path", VARIANTS)
AFFINE = [case for case in CASES if isinstance(case.build(), AffinePath)]
OTHERS = [case for case in CASES if case not in AFFINE]


def noise_left(case: Case) -> float:
    first = next(map(str, case.parameters.values()), None)
    return 1e-6 + 6 * LEFT.get((case.name, first), 0.0)  # 6 for the largest of a few hundred draws


class TestAffinePaths(AffinePathConformance):
    @pytest.fixture(params=AFFINE, ids=str)
    def component(self, request):
        self.endpoint_tolerance = noise_left(request.param)
        return request.param.build()


class TestOtherPaths(PathConformance):
    @pytest.fixture(params=OTHERS, ids=str)
    def component(self, request):
        self.endpoint_tolerance = noise_left(request.param)
        return request.param.build()


def test_paths_with_noise_of_their_own_are_not_affine():
    noisy = {"icfm", "schrodinger_bridge"}
    assert {case.name for case in OTHERS} == noisy
    assert {case.name for case in AFFINE} == set(names("path")) - noisy
    assert all("affine" not in case.build().provides for case in OTHERS)
