"""Every built-in path conforms."""

import pytest
from built_ins import Case, cases, names

from fmbench import AffinePath
from fmbench.testing import AffinePathConformance, PathConformance

NOISY = {"icfm": 0.1 * 6, "lipman": 1e-4 * 6}
"""Paths that leave noise at an end, by default: its standard deviation, times 6 for the largest of a few hundred."""

CASES = cases("path", [("icfm", {"sigma": 0.0}), ("lipman", {"sigma_min": 0.0}), ("lipman", {"sigma_min": 0.1})])
AFFINE = [case for case in CASES if isinstance(case.build(), AffinePath)]
OTHERS = [case for case in CASES if case not in AFFINE]


def noise_left(case: Case) -> float:
    given = next(iter(case.parameters.values()), None)
    return 1e-6 + (NOISY.get(case.name, 0.0) if given is None else 6 * given)


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


def test_icfm_is_not_affine():
    assert {case.name for case in OTHERS} == {"icfm"}
    assert {case.name for case in AFFINE} == set(names("path")) - {"icfm"}
    assert all("affine" not in case.build().provides for case in OTHERS)
