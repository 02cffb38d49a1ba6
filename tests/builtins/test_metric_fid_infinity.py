"""FID-infinity: what it is made of, on digits and on features with known derivatives."""

import pytest
import torch
from picture_sets import BLURRED, DIGITS, NOISE, REAL, Pictures, by_name

from fmbench import DataError, UserError
from fmbench.testing.evidence import make_evidence
from fmbench_metrics.extrapolation import Cloud, deal, extrapolate
from fmbench_metrics.gaussians import Target


def features(n, d, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("samples", [BLURRED, NOISE, REAL], ids=["blurred", "noise", "real"])
def test_the_whole_set_has_the_fid_of_the_metric_fid(samples):
    evidence = make_evidence(DIGITS, samples)
    found = by_name("fid_digits_infinity").extrapolation(evidence)
    fid = by_name("fid_digits").compute(evidence)["fid_digits"]
    assert float(found.distances[0]) == pytest.approx(fid, rel=1e-5, abs=1e-5)
    assert found.distances[0] < found.distances[-1]
    assert found.value < found.distances[0]


def test_values_are_the_distance_and_its_error_and_better_pictures_score_better():
    values = [by_name("fid_digits_infinity").compute(make_evidence(DIGITS, x)) for x in (REAL, BLURRED, NOISE)]
    assert [list(each) for each in values] == [["fid_digits_infinity", "fid_digits_infinity_se"]] * 3
    assert all(each["fid_digits_infinity_se"] > 0 for each in values)
    real, blurred, noise = (each["fid_digits_infinity"] for each in values)
    assert real < blurred < noise


@pytest.mark.parametrize("moved", [0.0, 1.0])
def test_distances_without_each_sample_are_those_without_it(moved):
    cloud = Cloud((1 + moved) * features(300, 5) + moved, Target.of(features(400, 5, seed=1)))
    rows = torch.arange(300)
    exact = cloud.distances([rows[rows != i] for i in rows])
    whole = cloud.distances([rows])
    torch.testing.assert_close(cloud.without_each() - whole, exact - whole, rtol=1e-3, atol=2e-2 * float(exact.std()))


@pytest.mark.parametrize("reference", [6, 200], ids=["fewer than features", "more"])
def test_features_that_do_not_vary_are_no_trouble(reference):
    x, y = features(512, 8), features(reference, 8, seed=1)
    padded = [torch.cat([z, torch.full((len(z), 3), 2.0)], dim=1) for z in (x, y)]
    found, again = (
        extrapolate(a, Target.of(b), torch.Generator().manual_seed(0)) for a, b in ((x, y), (padded[0], padded[1]))
    )
    assert again.value == pytest.approx(found.value, rel=1e-6)
    assert again.error == pytest.approx(found.error, rel=1e-6)


def test_pictures_that_are_all_alike_have_a_distance_and_no_error():
    values = by_name("fid_digits_infinity").compute(make_evidence(DIGITS, REAL[:1].expand(300, -1, -1, -1)))
    assert values["fid_digits_infinity"] > 1
    assert values["fid_digits_infinity_se"] == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("blocks", [2, 3, 7])
def test_cuts_use_every_sample_once_and_deal_out_labels_evenly(blocks):
    labels = torch.tensor([0] * 21 + [1] * 42 + [2] * 7)
    cut = deal(70, blocks, torch.Generator().manual_seed(0), labels)
    assert torch.equal(torch.cat(cut).sort().values, torch.arange(70))
    counts = torch.stack([torch.bincount(labels[rows], minlength=3) for rows in cut])
    assert int((counts.max(0).values - counts.min(0).values).max()) <= 1
    assert not torch.equal(cut[0], deal(70, blocks, torch.Generator().manual_seed(1), labels)[0])


def test_too_few_samples_are_refused_before_and_after_training():
    for name in ("fid_digits_infinity", "fid_mnist_infinity"):
        assert by_name(name).minimum_samples == 4 * 2 * 32
    assert by_name("fid_infinity").minimum_samples == 4 * 2 * 2048
    with pytest.raises(DataError, match=r"needs 512; found 400\. Draw more or lower splits"):
        by_name("fid_digits_infinity", splits=8).compute(make_evidence(DIGITS, NOISE[:400]))
    assert by_name("fid_digits_infinity", splits=3).compute(make_evidence(DIGITS, NOISE[:192]))


@pytest.mark.parametrize("name", ["fid_digits_infinity", "fid_mnist_infinity", "fid_infinity"])
def test_a_curve_that_is_not_determined_is_refused(name):
    with pytest.raises(UserError, match="splits must exceed degree"):
        by_name(name, splits=2)
    assert by_name(name, splits=2, degree=1).degree == 1


def test_the_reference_can_be_the_test_split():
    identity = by_name("fid_digits_infinity", reference="test").identity(make_evidence(DIGITS, NOISE))
    assert identity["reference_n"] == 360
    assert by_name("fid_infinity", reference="test").split == "test"
    changed = by_name("fid_digits_infinity").identity(make_evidence(Pictures(REAL + 0.1), NOISE))
    assert changed != by_name("fid_digits_infinity").identity(make_evidence(DIGITS, NOISE))
