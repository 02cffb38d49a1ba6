"""Density and coverage: balls that can be told by hand, expectations in closed form, the authors' numbers."""

import itertools
import math

import pytest
import torch
from picture_sets import BLURRED, DIGITS, NOISE, REAL, Pictures, by_name

from fmbench import DataError
from fmbench.errors import ComponentError
from fmbench.plugins.registry import load_registry
from fmbench.testing.evidence import make_evidence
from fmbench_metrics import real_balls

LABELS = DIGITS.load("train")[1]
NAMES = ("density", "coverage")


def normal(n, dim=2, seed=0):
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


def scores(samples, real=None, **parameters):
    """Return density and coverage of samples: of points against `real`, else of pictures against the digits."""
    if real is None:
        evidence, names = make_evidence(DIGITS, samples), [f"{name}_digits" for name in NAMES]
    else:
        evidence, names = make_evidence(Pictures(real), samples), NAMES
        parameters = {"extractor": "none", **parameters}
    return tuple(by_name(name, **parameters).compute(evidence)[name] for name in names)


def test_balls_of_a_row_of_points():
    # With two neighbours, balls of radius 2, 1, 1, 1 and 2 around 0, 1, 2, 3 and 4; a rim is outside.
    real = torch.arange(5.0)[:, None]
    for at, balls in {-1.5: 1, -2.0: 0, 0.5: 2, 1.0: 2, 1.5: 3, 2.5: 3, 10.0: 0}.items():
        density, coverage = scores(torch.tensor([[at]]), real, neighbours=2)
        assert (density, coverage) == (balls / 2, balls / 5), at
    density, coverage = scores(torch.tensor([[0.5], [0.5], [10.0]]), real, neighbours=2)
    assert (density, coverage) == (pytest.approx(4 / 6), 2 / 5)


def expected_coverage(n, m, k):
    """Return the coverage of m samples of the same distribution as n real examples, by Naeem et al. 2020, lemma 2."""
    return 1 - math.prod((n - i) / (m + n - i) for i in range(1, k + 1))


@pytest.mark.parametrize(("dim", "n", "m", "k"), [(2, 2000, 2000, 5), (8, 2000, 1000, 5), (2, 1000, 2000, 2)])
def test_samples_of_the_datas_own_distribution_have_what_the_lemmas_say(dim, n, m, k):
    density, coverage = scores(normal(m, dim), normal(n, dim, seed=1), neighbours=k)
    assert density == pytest.approx(1, abs=0.05)
    assert coverage == pytest.approx(expected_coverage(n, m, k), abs=0.02)


def test_samples_that_are_shifted_lose_both():
    real = normal(1000, seed=1)
    found = [scores(normal(1000) + shift, real) for shift in (0.0, 1.0, 2.0, 8.0)]
    assert all(near > far for a, b in itertools.pairwise(found) for near, far in zip(a, b, strict=True))
    assert found[-1] == (0, 0)


def test_a_mode_that_is_missing_costs_its_coverage_and_no_density():
    real = normal(2000, seed=1) + 20 * (torch.arange(2000) % 4)[:, None]
    samples = normal(1500) + 20 * (torch.arange(1500) % 3)[:, None]
    density, coverage = scores(samples, real)
    assert coverage == pytest.approx(0.75 * expected_coverage(500, 500, 5), abs=0.02)
    assert density == pytest.approx(1, abs=0.05)


def test_they_are_the_numbers_of_the_authors_code():
    """prdc 0.2, `compute_prdc(real, fake, nearest_k)`, on these points."""
    real, fake = normal(500, 3, seed=2), 0.3 + 1.2 * normal(400, 3, seed=3)
    for k, theirs in {5: (0.8615, 0.91), 2: (0.92125, 0.654)}.items():
        assert scores(fake, real, neighbours=k) == pytest.approx(theirs, abs=1e-9)


def test_pictures_are_judged_by_their_features():
    density, coverage = scores(REAL)
    assert (density, coverage) == (pytest.approx(1, abs=0.2), 1)
    density, coverage = scores(NOISE)
    assert density < 0.5
    assert coverage < 0.1
    threes = LABELS == 3
    density, coverage = scores(REAL[threes])
    assert density == pytest.approx(1, abs=0.2)
    assert coverage == pytest.approx(float(threes.float().mean()), abs=0.02)


def test_they_do_not_depend_on_order_and_blocks(monkeypatch):
    whole = scores(BLURRED)
    monkeypatch.setattr(real_balls, "BLOCK", 100)
    assert scores(BLURRED.flip(0)) == pytest.approx(whole, abs=1e-3)


@pytest.mark.parametrize("extractor", ["digits", "none"])
def test_the_radii_are_found_once(monkeypatch, extractor):
    found, radii = [], real_balls.radii_of
    monkeypatch.setattr(real_balls, "radii_of", lambda x, k: found.append(k) or radii(x, k))
    evidence = make_evidence(Pictures(REAL.clone()))
    for samples in (NOISE, BLURRED[:500]):
        evidence.samples = samples
        for name in NAMES:
            by_name(name, extractor=extractor).compute(evidence)
            by_name(name, extractor=extractor, neighbours=3).compute(evidence)
    assert sorted(found) == [3, 5]


def test_real_data_without_so_many_neighbours_are_refused():
    with pytest.raises(DataError, match="coverage needs at least 6 examples in the train split for 5 neighbours"):
        by_name("coverage", extractor="none").compute(make_evidence(Pictures(normal(5)), normal(200)))


@pytest.mark.parametrize("name", NAMES)
def test_pictures_are_needed_for_features_alone(name):
    registry = load_registry()
    needs = {
        extractor: registry.attribute(registry.spec("metric", name, {"extractor": extractor}), "requires")
        for extractor in ("none", "inception", "digits", "mnist")
    }
    of_digits = {"digits": ("images", "digits_8x8"), "mnist": ("images", "digits_28x28")}
    assert needs == {"none": (), "inception": ("images",), **of_digits}
    assert registry.attribute(registry.spec("metric", name), "requires") == ("images",)
    with pytest.raises(ComponentError, match="leave them out"):
        registry.build(registry.spec("metric", name, {"extractor": "none", "weights": __file__}))
