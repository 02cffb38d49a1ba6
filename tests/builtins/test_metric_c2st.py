"""C2ST: what cannot be told apart, what can, the best classifier's accuracy, and what decides a value."""

import math

import numpy as np
import pytest
import torch
from picture_sets import BLURRED, DIGITS, NOISE, REAL, Pictures, by_name

from fmbench import DataError
from fmbench.plugins.registry import load_registry
from fmbench.testing.evidence import make_evidence
from fmbench_metrics.c2st import accuracy


def normal(n, dim=2, seed=0):
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


def c2st(samples, real, seed=0, **parameters):
    return by_name("c2st", **parameters).compute(make_evidence(Pictures(real), samples, seed=seed))["c2st"]


def test_samples_of_the_datas_own_distribution_cannot_be_told_apart():
    # Four standard errors of 2,000 guesses, and what folds share.
    assert c2st(normal(1000), normal(1000, seed=1)) == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("shift", [1.0, 2.0])
def test_shifted_normals_are_told_apart_as_often_as_the_best_classifier_does(shift):
    """Phi(shift/2): the likelihood ratio's accuracy between two unit normals."""
    moved = normal(1000) + torch.tensor([shift, 0.0])
    best = 0.5 * (1 + math.erf(shift / 2 / math.sqrt(2)))
    assert c2st(moved, normal(1000, seed=1)) == pytest.approx(best, abs=0.04)


def test_what_no_line_parts_is_told_apart():
    """A ring around the data has their mean; a linear classifier would guess."""
    angle = 2 * math.pi * torch.rand(1000, generator=torch.Generator().manual_seed(3))
    ring = 4 * torch.stack([angle.cos(), angle.sin()], dim=1)
    assert c2st(ring, normal(1000, seed=1)) > 0.97


def test_points_far_apart_are_told_apart_whatever_their_units():
    real, samples = normal(200, seed=1), normal(200) + 20
    assert c2st(samples, real) > 0.98
    scale, shift = torch.tensor([1e-4, 1e4]), torch.tensor([50.0, -3e4])
    near = normal(200) + 0.7
    assert c2st(near * scale + shift, real * scale + shift) == pytest.approx(c2st(near, real), abs=0.02)


def test_what_is_constant_in_real_data_is_no_obstacle():
    real = torch.cat([normal(300, seed=1), torch.ones(300, 1)], dim=1)
    assert 0.4 < c2st(torch.cat([normal(300), torch.ones(300, 1)], dim=1), real) < 0.6
    assert c2st(torch.cat([normal(300), torch.full((300, 1), 9.0)], dim=1), real) > 0.98


def test_a_value_is_decided_by_the_seed_of_the_evidence():
    real, samples = normal(800, seed=1), normal(700) + 0.5
    state = np.random.get_state()[1].tolist()
    first = c2st(samples, real, points=300)
    assert c2st(samples, real, points=300) == first
    assert np.random.get_state()[1].tolist() == state
    assert len({c2st(samples, real, seed=seed, points=300) for seed in range(4)}) > 1


def test_equally_many_of_both_take_part():
    """Ten times as many samples would be told by their number alone."""
    assert c2st(normal(2000), normal(200, seed=1)) == pytest.approx(0.5, abs=0.12)
    assert c2st(normal(200), normal(2000, seed=1)) == pytest.approx(0.5, abs=0.12)


def test_which_real_data_take_part_does_not_depend_on_the_samples(monkeypatch):
    taken = []
    monkeypatch.setattr("fmbench_metrics.c2st.accuracy", lambda samples, real, seed: taken.append(real) or 0.5)
    real = normal(500, seed=1)
    for n in (100, 300):
        c2st(normal(n), real, points=100)
    assert torch.equal(*taken)
    assert len(taken[0]) == 100


def test_pictures_are_told_apart_by_features_or_values():
    evidence = [make_evidence(DIGITS, samples) for samples in (REAL, BLURRED, NOISE)]
    for name in ("c2st_digits", "c2st"):
        of_real, of_blurred, of_noise = (by_name(name, points=200).compute(each)[name] for each in evidence)
        assert of_real < of_blurred <= of_noise
        assert of_noise > 0.97


def test_accuracy_is_of_points_that_were_held_out():
    """In many dimensions a classifier knows by heart what it was taught, and guesses the rest."""
    assert accuracy(normal(100, 200), normal(100, 200, seed=1), 0) < 0.65


def test_the_fewest_that_are_taken_have_a_value():
    assert 0 <= c2st(normal(20), normal(20, seed=1)) <= 1


def test_too_few_are_refused():
    with pytest.raises(DataError, match="c2st needs at least 20 samples and as many examples in the test split"):
        c2st(normal(19), normal(100))


def test_points_need_no_pictures_and_features_do():
    registry = load_registry()
    for extractor, needed in {"none": (), "inception": ("images",)}.items():
        spec = registry.spec("metric", "c2st", {"extractor": extractor})
        assert registry.attribute(spec, "requires") == needed
    assert registry.attribute(registry.spec("metric", "c2st"), "requires") == ()
