"""Precision and recall: neighbourhoods that can be told by hand, what samples of one kind or of any kind score."""

import pytest
import torch
from picture_sets import BLURRED, DIGITS, NOISE, REAL, by_name

from fmbench import DataError
from fmbench.testing.evidence import make_evidence
from fmbench_metrics import manifold

KEPT = DIGITS.load("train")[1]


def scores(samples):
    """Return precision and recall of samples against the digits."""
    evidence = make_evidence(DIGITS, samples)
    return tuple(by_name(name).compute(evidence)[name] for name in ("precision_digits", "recall_digits"))


def test_neighbourhood_of_a_row_of_points():
    # The third nearest neighbour of each of 0, 1, ..., 10 is 2 away; of the two at an end and beside it 3 and 2.
    centres = torch.arange(11.0)[:, None]
    inside = torch.tensor([[-3.0], [-2.9], [4.3], [13.0]])
    outside = torch.tensor([[-3.1], [13.1], [100.0]])
    assert manifold.share_inside(inside, centres) == 1
    assert manifold.share_inside(outside, centres) == 0
    assert manifold.share_inside(torch.cat([inside, outside]), centres) == pytest.approx(4 / 7)


def test_a_set_is_inside_its_own_neighbourhood():
    assert scores(REAL) == (1, 1)


def test_samples_of_one_kind_are_precise_and_recall_little():
    precision, recall = scores(REAL[KEPT == 3])
    assert precision == 1
    assert recall < 0.3


def test_noise_beside_real_pictures_costs_precision_and_not_recall():
    precision, recall = scores(torch.cat([REAL, NOISE]))
    assert precision < 0.9
    assert recall == 1


def test_blurred_pictures_score_better_than_noise():
    assert all(blurred > noise for blurred, noise in zip(scores(BLURRED), scores(NOISE), strict=True))


def test_neighbourhoods_do_not_depend_on_order_and_blocks(monkeypatch):
    whole = scores(BLURRED)
    monkeypatch.setattr(manifold, "BLOCK", 100)
    assert scores(BLURRED.flip(0)) == whole


def test_the_references_neighbourhood_is_found_once(monkeypatch):
    found = []
    radii = manifold._radii
    monkeypatch.setattr(manifold, "_radii", lambda centres: found.append(len(centres)) or radii(centres))
    evidence = make_evidence(DIGITS)
    for samples in (NOISE, BLURRED[:500]):
        evidence.samples = samples
        for name in ("precision_digits", "recall_digits"):
            by_name(name).compute(evidence)
    assert found == [len(REAL), len(NOISE), 500]


@pytest.mark.parametrize("name", ["precision_digits", "recall_digits"])
def test_a_third_neighbour_is_needed(name):
    metric = by_name(name)
    with pytest.raises(DataError, match=f"{name} needs at least 4 samples; found 3"):
        metric.compute(make_evidence(DIGITS, NOISE[:3]))
    assert metric.identity(make_evidence(DIGITS, NOISE[:4]))["neighbours"] == 3
