"""Every built-in metric conforms, on the data that it is for; those with Inception need weights that do not ship."""

from functools import lru_cache

import pytest
import torch
from built_ins import REGISTRY, Case, names

from fmbench.testing import MetricConformance, make_evidence
from fmbench.testing.dummy_components import TwoBlobs

PLAIN = {"fid", "kid", "precision", "recall", "density", "coverage"}
INCEPTION = PLAIN | {"fid_infinity"}
SMALL = {"digits": "digits", "mnist": "mnist_5k"}
DATASETS = {f"{name}_{extractor}": dataset for name in {*PLAIN, "c2st"} for extractor, dataset in SMALL.items()}
DATASETS |= {f"fid_{extractor}_infinity": dataset for extractor, dataset in SMALL.items()}
DATASETS["joint_wasserstein"] = "gaussian_on_circle"
DATASETS |= dict.fromkeys(("excess_loss", "mode_shares", "missed_modes"), "gaussian_mixture")
NOT_OF_QUALITY = {"nfe", "memorised", "solver_error", "round_trip_error"}
"""Evaluation metrics that do not say how good samples are: training data are memorised, and noise is not."""
NAMES = [name for name in names("metric") if name not in INCEPTION]


@lru_cache
def pictures(name):
    """Return a dataset that reads its files once for all tests."""
    dataset = Case("dataset", name).build()
    dataset.load = lru_cache(dataset.load)
    return dataset


@pytest.fixture(scope="module")
def statistics(tmp_path_factory):
    """One folder for the reference statistics of all tests."""
    return tmp_path_factory.mktemp("statistics")


class TestMetrics(MetricConformance):
    @pytest.fixture(params=NAMES)
    def case(self, request, statistics):
        self.name = request.param
        self.statistics = statistics
        self.judges_samples = request.param not in NOT_OF_QUALITY
        return Case("metric", request.param)

    @pytest.fixture
    def component(self, case):
        return case.build()

    @pytest.fixture
    def dataset(self, case):
        return pictures(DATASETS[case.name]) if case.name in DATASETS else TwoBlobs()

    def evidence(self, dataset, samples, cache):
        labels = torch.arange(len(samples)) % dataset.classes if isinstance(dataset, TwoBlobs) else None
        if dataset.condition_width:
            labels = dataset.load("train")[1][: len(samples)]
        return make_evidence(dataset, samples, labels=labels, cache=self.statistics)


def test_image_metrics_are_tested_on_images():
    specs = {name: REGISTRY.spec("metric", name) for name in NAMES}
    on_images = {name for name, spec in specs.items() if "images" in REGISTRY.attribute(spec, "requires")}
    assert on_images <= set(DATASETS)
