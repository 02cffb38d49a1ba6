"""Scores of small pictures: the quantiser, agreement with torch-fidelity, what scores better, what is refused."""

import json
from pathlib import Path

import pytest
import torch
from picture_sets import BLURRED, DIGITS, NOISE, REAL, Pictures, by_name, torch_fidelitys

from fmbench import DataError
from fmbench.testing.evidence import make_evidence
from fmbench_metrics import extractors
from fmbench_metrics.extractor import small_extractor
from fmbench_metrics.quantiser import quantise


def test_quantiser_is_exact_for_every_level():
    levels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(quantise(levels.float() / 127.5 - 1), levels)
    assert torch.equal(quantise(levels.double() / 255 * 2 - 1), levels)


def test_quantiser_rounds_to_the_nearest_level_and_clips():
    x = torch.linspace(-1.5, 1.5, 10_001, dtype=torch.float64)
    distance = (quantise(x).double() / 127.5 - 1 - x.clamp(-1, 1)).abs()
    assert distance.max().item() <= 0.5 / 127.5 + 1e-12


@pytest.mark.parametrize("name", ["fid_digits", "kid_digits"])
def test_better_pictures_score_better(name):
    same, blurred, noise = (by_name(name).compute(make_evidence(DIGITS, x))[name] for x in (REAL, BLURRED, NOISE))
    assert same < blurred < noise


def test_fid_of_a_set_with_itself_is_nought():
    assert abs(by_name("fid_digits").compute(make_evidence(DIGITS, REAL))["fid_digits"]) < 1e-5


def test_kid_of_a_set_with_itself_is_near_nought():
    values = by_name("kid_digits").compute(make_evidence(DIGITS, REAL))
    assert list(values) == ["kid_digits", "kid_digits_std"]
    noise = by_name("kid_digits").compute(make_evidence(DIGITS, NOISE))["kid_digits"]
    # The unbiased estimate falls a little below nought where the two subsets share pictures.
    assert -0.05 * noise < values["kid_digits"] <= 0


def test_fid_does_not_depend_on_the_order():
    order = torch.randperm(len(BLURRED), generator=torch.Generator().manual_seed(2))
    fid = by_name("fid_digits")
    first, again = (fid.compute(make_evidence(DIGITS, x))["fid_digits"] for x in (BLURRED, BLURRED[order]))
    assert first == pytest.approx(again, rel=1e-6)


@pytest.fixture(scope="module")
def peer():
    """torch-fidelity's own values for our extractor on the same pictures."""
    import torch_fidelity

    class Peer(torch_fidelity.FeatureExtractorBase):
        def __init__(self, name, features_list, **kwargs):
            super().__init__(name, features_list)
            self.network = small_extractor("digits", "cpu")

        def forward(self, x):
            return (self.network.features(x),)

        @staticmethod
        def get_provided_features_list():
            return ("penultimate",)

        @staticmethod
        def get_default_feature_layer_for_metric(metric):
            return "penultimate"

        @staticmethod
        def can_be_compiled():
            return False

        @staticmethod
        def get_dummy_input_for_compile():
            return torch.zeros(1, 1, 8, 8, dtype=torch.uint8)

    torch_fidelity.register_feature_extractor("fmbench-test-digits", Peer)

    def calculate(samples, **kinds):
        return torch_fidelitys(samples, REAL, feature_extractor="fmbench-test-digits", **kinds)

    return calculate


@pytest.mark.parametrize("samples", [BLURRED, NOISE], ids=["blurred", "noise"])
def test_scores_are_torch_fidelitys(peer, samples):
    theirs = peer(samples, fid=True, kid=True, kid_subsets=10, prc=True)
    evidence = make_evidence(DIGITS, samples)
    fid, kid = by_name("fid_digits").compute(evidence), by_name("kid_digits", subsets=10).compute(evidence)
    assert fid["fid_digits"] == pytest.approx(theirs["frechet_inception_distance"], rel=1e-4)
    assert kid["kid_digits"] == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-4)
    assert kid["kid_digits_std"] == pytest.approx(theirs["kernel_inception_distance_std"], rel=1e-3)
    for name in ("precision", "recall"):
        (ours,) = by_name(f"{name}_digits").compute(evidence).values()
        assert 0 < ours < 1
        assert ours == pytest.approx(theirs[name], rel=1e-4)


def test_kernel_sums_do_not_depend_on_how_the_matrix_is_made(monkeypatch):
    import fmbench_metrics.kid as module

    x, y = (torch.rand(1500, 4, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    whole = module.subset_distances(x, y, 5)
    for name, value in (("TILE", {"cpu": 400}), ("_sums_of_the_whole", module._sums_one_by_one)):
        monkeypatch.setattr(module, name, value)
        torch.testing.assert_close(module.subset_distances(x, y, 5), whole, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("fid_digits", {}), ("kid_digits", {}), ("recall_digits", {}), ("fid_digits", {"reference": "test"})],
)
def test_identity_tells_scores_apart(name, parameters):
    metric = by_name(name, **parameters)
    identity = metric.identity(make_evidence(DIGITS, NOISE))
    facts = json.loads((Path(extractors.__file__).parent / "digits.json").read_text())
    assert identity["weights"] == facts["sha256"]
    assert identity["reference_n"] == {"train": 1437, "test": 360}[identity["reference_split"]]
    assert identity["samples_n"] == 1200
    assert identity != metric.identity(make_evidence(DIGITS, NOISE[:1000]))
    assert identity != metric.identity(make_evidence(Pictures(REAL + 0.1), NOISE))


@pytest.mark.parametrize(
    ("name", "shape"), [("fid_digits", (1, 28, 28)), ("kid_mnist", (1, 8, 8)), ("fid_mnist", (3, 28, 28))]
)
def test_pictures_of_another_size_are_refused(name, shape):
    with pytest.raises(DataError, match="judges pictures of shape"):
        by_name(name).compute(make_evidence(Pictures(torch.zeros(1000, *shape))))


def test_kid_needs_a_thousand():
    with pytest.raises(DataError, match="1000 samples; found 999"):
        by_name("kid_digits").compute(make_evidence(DIGITS, NOISE[:999]))
    with pytest.raises(DataError, match="test split; found 360"):
        by_name("kid_digits", reference="test").compute(make_evidence(DIGITS, NOISE))
