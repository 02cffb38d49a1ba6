"""Every built-in network conforms, on points or on images, whichever it is for."""

import pytest
from built_ins import Case, cases, names

from fmbench.testing import NetworkConformance

POINTS, IMAGE, ODD = (2,), (1, 8, 8), (3, 7, 10)
CASES = {
    "additive_time_mlp": [({}, POINTS), ({"width": 16, "depth": 1, "activation": "tanh", "clip": 3.0}, IMAGE)],
    "adm_unet": [
        ({"channels": 8, "head_channels": 8, "dropout": 0.1}, IMAGE),
        ({"channels": 4, "multipliers": [1, 3], "attention": [0, 1], "head_channels": 2}, ODD),
    ],
    "dit": [
        ({"width": 32, "depth": 2}, IMAGE),
        ({"patch": 3, "width": 20, "depth": 1, "heads": 5}, ODD),
    ],
    "mlp": [({}, POINTS), ({"width": 16, "depth": 1}, POINTS)],
    "simple_cnn": [({}, ODD), ({"channels": 4, "depth": 1, "activation": "silu"}, IMAGE)],
    "small_unet": [({}, IMAGE), ({"channels": 16}, IMAGE), ({}, ODD), ({"channels": 16}, ODD)],
    "unet": [({"channels": 8}, IMAGE), ({"channels": 5}, ODD)],
}
"""Parameters and shapes; large networks are tried small."""

PAIRS = [
    (Case("network", name, parameters), shape)
    for name in names("network")
    for parameters, shape in CASES.get(name, [({}, POINTS)])
]


class TestNetworks(NetworkConformance):
    @pytest.fixture(params=PAIRS, ids=lambda pair: f"{pair[0]}-{'x'.join(map(str, pair[1]))}")
    def component(self, request):
        case, self.shape = request.param
        return case.build()


def test_variants_are_of_built_ins():
    assert set(CASES) <= {case.name for case in cases("network")}
