"""Every built-in network conforms, on points or on images, whichever it is for."""

import pytest
from built_ins import Case, cases, names

from fmbench.testing import NetworkConformance

IMAGE_SHAPES = {"small_unet": [(1, 8, 8), (3, 7, 10)]}
VARIANTS = {"mlp": [{"width": 16, "depth": 1}], "small_unet": [{"channels": 16}]}


def built(name):
    return [Case("network", name), *(Case("network", name, parameters) for parameters in VARIANTS.get(name, []))]


PAIRS = [(case, shape) for name in names("network") for case in built(name) for shape in IMAGE_SHAPES.get(name, [(2,)])]


class TestNetworks(NetworkConformance):
    @pytest.fixture(params=PAIRS, ids=lambda pair: f"{pair[0]}-{'x'.join(map(str, pair[1]))}")
    def component(self, request):
        case, self.shape = request.param
        return case.build()


def test_variants_are_of_built_ins():
    assert set(IMAGE_SHAPES) | set(VARIANTS) <= {case.name for case in cases("network")}
