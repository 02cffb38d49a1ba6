"""Every built-in metric conforms, on the data that it is for.

Those with Inception need weights that do not ship; DINOv2 and CLIP are small ones with random weights here.
"""

from functools import lru_cache

import numpy as np
import pytest
import torch
from built_ins import REGISTRY, Case, names
from vision_weights import clip_weights, dinov2_weights

from fmbench.testing import MetricConformance, make_evidence
from fmbench.testing.dummy_components import TwoBlobs
from fmbench_metrics.dinov2 import DINOv2
from fmbench_metrics.quantiser import quantise

PLAIN = {"fid", "kid", "mind", "precision", "recall", "density", "coverage"}
INCEPTION = PLAIN | {"fid_infinity", "sfid"}
VISION = {"fd_dinov2": dinov2_weights, "cmmd": clip_weights}
SMALL = {"digits": "digits", "mnist": "mnist_5k"}
DATASETS = {f"{name}_{extractor}": dataset for name in {*PLAIN, "c2st"} for extractor, dataset in SMALL.items()}
DATASETS |= {f"fid_{extractor}_infinity": dataset for extractor, dataset in SMALL.items()}
DATASETS["joint_wasserstein"] = "gaussian_on_circle"
DATASETS |= dict.fromkeys(("inception_score", *VISION), "digits")
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


@pytest.fixture(scope="module")
def parameters(tmp_path_factory):
    """What metrics are given for which defaults will not do, by name: weights, and extractors that ship."""
    found = {"inception_score": {"extractor": "digits"}}
    for name, write in VISION.items():
        path = tmp_path_factory.mktemp("weights") / "weights.pth"
        write(path)
        found[name] = {"weights": str(path)}
    return found


class TestMetrics(MetricConformance):
    @pytest.fixture(params=NAMES)
    def case(self, request, statistics, parameters, monkeypatch):
        monkeypatch.setattr(DINOv2, "side", 42)  # the size of its weights here
        self.name = request.param
        self.statistics = statistics
        self.judges_samples = request.param not in NOT_OF_QUALITY
        return Case("metric", request.param, parameters.get(request.param, {}))

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


class TestOwnReference(MetricConformance):
    """A metric that compares with a file of statistics."""

    @pytest.fixture
    def component(self, tmp_path):
        features = (
            Case("metric", "fid_digits")
            .build()
            .extractor("cpu")
            .features(quantise(pictures("digits").load("train")[0]))
        )
        np.savez(tmp_path / "digits.npz", mu=features.mean(0).numpy(), sigma=features.T.cov().numpy())
        self.name = "fid_digits"
        return Case("metric", "fid_digits", {"reference": str(tmp_path / "digits.npz")}).build()

    @pytest.fixture
    def dataset(self):
        return pictures("digits")
