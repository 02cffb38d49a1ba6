"""Every built-in t-distribution conforms, over the range of its parameters."""

import pytest
from built_ins import cases

from fmbench.testing import TDistributionConformance

VARIANTS = [
    ("beta", {"alpha": 1.0, "beta": 1.0}),
    ("beta", {"alpha": 1.0, "beta": 0.4}),
    ("beta", {"alpha": 1.5, "beta": 1.0}),
    ("beta", {"alpha": 0.6, "beta": 0.6}),
    ("beta", {"alpha": 0.2, "beta": 3.0}),
    ("beta", {"alpha": 40.0, "beta": 12.0}),
    ("logit_normal", {"mean": 1.2, "std": 1.2}),
    ("logit_normal", {"mean": -0.5, "std": 0.3}),
    ("logit_normal", {"std": 3.0}),
    ("edm", {"mean": -0.4, "std": 1.0}),
    ("mode", {"s": -1.0}),
    ("mode", {"s": -0.99}),
    ("mode", {"s": -0.3}),
    ("mode", {"s": 0.0}),
    ("mode", {"s": 1.75}),
    ("shifted_beta", {"alpha": 1.5, "beta": 2.0, "s": 0.9}),
    ("shifted_beta", {"s": 1.0}),
    ("u_shaped", {"a": 0.01}),
    ("u_shaped", {"a": 60.0}),
    ("u_shaped", {"a": 1000.0}),
]


class TestTDistributions(TDistributionConformance):
    @pytest.fixture(params=cases("t_distribution", VARIANTS), ids=str)
    def component(self, request):
        return request.param.build()
