"""Every built-in metric conforms, on the data that it is for; those with Inception need weights that do not ship."""

import pytest
from built_ins import REGISTRY, Case, names

from fmbench.testing import MetricConformance, make_evidence
from fmbench.testing.parts import TwoBlobs

INCEPTION = {"fid", "kid"}
DATASETS = {"fid_digits": "digits", "fid_mnist": "mnist_5k", "kid_digits": "digits", "kid_mnist": "mnist_5k"}
NAMES = [name for name in names("metric") if name not in INCEPTION]


@pytest.fixture(scope="module")
def statistics(tmp_path_factory):
    """One folder for the reference statistics of all tests."""
    return tmp_path_factory.mktemp("statistics")


class TestMetrics(MetricConformance):
    @pytest.fixture(params=NAMES)
    def case(self, request, statistics):
        self.name = request.param
        self.statistics = statistics
        return Case("metric", request.param)

    @pytest.fixture
    def component(self, case):
        return case.build()

    @pytest.fixture
    def dataset(self, case):
        return Case("dataset", DATASETS[case.name]).build() if case.name in DATASETS else TwoBlobs()

    def evidence(self, dataset, samples, cache):
        return make_evidence(dataset, samples, cache=self.statistics)


def test_image_metrics_are_tested_on_images():
    specs = {name: REGISTRY.spec("metric", name) for name in NAMES}
    on_images = {name for name, spec in specs.items() if "images" in REGISTRY.attribute(spec, "requires")}
    assert on_images <= set(DATASETS)
