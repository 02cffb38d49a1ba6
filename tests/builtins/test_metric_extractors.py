"""Feature metrics by extractor: the names with a small extractor in them, and the parameter that they stand for."""

import pytest
import torch
from picture_sets import BLURRED, DIGITS, by_name, registry

from fmbench import UserError
from fmbench.errors import SuiteError
from fmbench.plan import make_plan
from fmbench.suite import read_suite
from fmbench.testing.evidence import make_evidence

FAMILIES = {"fid": 33, "fid_infinity": 256, "kid": 1000, "precision": 100, "recall": 100}
"""Least samples with a small extractor, by the family's name."""
SIDES = {"digits": "digits_8x8", "mnist": "digits_28x28"}
BOTH = [(family, extractor) for family in FAMILIES for extractor in SIDES]

SUITE = """
name: extractors
datasets: [DATASET]
training: {paths: [linear], networks: [small_unet], steps: 1, batch_size: 2, optimizer: {adam: {lr: 1e-3}}}
evaluation: {solvers: [euler], nfe: [1], samples: SAMPLES, metrics: [METRIC]}
"""


def named(family, extractor):
    """Return the name with a small extractor in it."""
    head, _, tail = family.partition("_")
    return "_".join(filter(None, (head, extractor, tail)))


def planned(metric, dataset="digits", samples=2000):
    """Return the plan of a suite with one metric."""
    text = SUITE.replace("DATASET", dataset).replace("SAMPLES", str(samples)).replace("METRIC", metric)
    return make_plan(read_suite(text, "suite.yaml"), registry())


@pytest.mark.parametrize(("family", "extractor"), BOTH)
def test_a_name_and_the_parameter_ask_for_the_same(family, extractor):
    name = named(family, extractor)
    specs = [registry().spec("metric", name), registry().spec("metric", family, {"extractor": extractor})]
    assert specs[0].parameters == specs[1].parameters
    assert [spec.label for spec in specs] == [name, f"{family}(extractor={extractor})"]
    for spec in specs:
        built = registry().build(spec)
        expected = {"requires": ("images", SIDES[extractor]), "minimum_samples": FAMILIES[family]}
        for attribute, value in expected.items():
            assert registry().attribute(spec, attribute) == getattr(built, attribute) == value
        built.prepare()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_name_and_the_parameter_have_the_same_values(family, tmp_path):
    name, evidence = named(family, "digits"), make_evidence(DIGITS, BLURRED, cache=tmp_path)
    by_preset, by_parameter = by_name(name), by_name(family, extractor="digits")
    values, same = by_preset.compute(evidence), by_parameter.compute(evidence)
    assert next(iter(values)) == name
    assert {value.replace(name, family, 1): score for value, score in values.items()} == same
    assert by_preset.identity(evidence) == by_parameter.identity(evidence)


@pytest.mark.parametrize("metric", ["fid_digits", "{fid: {extractor: digits}}"])
def test_plans_refuse_other_datasets_and_too_few_samples(metric):
    (rule,) = planned(metric).rules
    assert rule.requires == {"images", "digits_8x8"}
    with pytest.raises(SuiteError, match=r"needs 33 samples or more; evaluation\.samples is 32"):
        planned(metric, samples=32)
    with pytest.raises(SuiteError, match="needs 'digits_8x8'"):
        planned(metric, dataset="mnist_5k")


def test_small_extractors_take_no_weights(tmp_path):
    file = tmp_path / "weights.pth"
    file.write_bytes(b"weights")
    match = r"weights are those of inception, dinov2, clip; with extractor 'digits'.*leave them out"
    with pytest.raises(UserError, match=match):
        by_name("kid_digits", weights=str(file))
    with pytest.raises(UserError, match=r'must be "inception" or .*"clip"; found "cifar"'):
        by_name("fid", extractor="cifar")


def test_cuts_are_fewer_with_inception():
    assert [by_name(name).cuts for name in ("fid_infinity", "fid_digits_infinity", "fid_mnist_infinity")] == [4, 8, 8]
    assert by_name("fid_digits_infinity", cuts=3).cuts == 3


def test_an_extractor_is_one_for_all_metrics():
    first, second = by_name("fid_mnist").extractor("cpu"), by_name("recall", extractor="mnist").extractor("cpu")
    assert first is second
    assert first.features(torch.zeros(2, 1, 28, 28, dtype=torch.uint8)).shape == (2, 32)


@pytest.mark.parametrize(
    ("family", "extractor", "least"),
    [("fid", "dinov2", 1025), ("fid", "clip", 769), ("fid_infinity", "dinov2", 8192), ("fid_infinity", "clip", 6144)],
)
def test_least_samples_of_the_large_extractors_follow_their_features(family, extractor, least):
    spec = registry().spec("metric", family, {"extractor": extractor})
    assert registry().attribute(spec, "minimum_samples") == least
    if family == "fid":
        assert registry().attribute(registry().spec("metric", "fd_dinov2"), "minimum_samples") == 1025
