"""The intervals of reports hold the truth in 93 to 97% of simulated suites, and say nothing else than the verdicts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from benchmarks.simulate_intervals import Design

from fmbench.report.number_format import percents
from fmbench.stats.paired_seeds import Percent, difference, interval, relative

DESIGN = Design.read()


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_intervals_hold_the_truth_in_93_to_97_percent(seeds: int):
    """One cell and its baseline from each suite, so that all are independent: the error of 2,000 is 0.5%."""
    random = np.random.default_rng(seeds)
    truth, pairs = DESIGN.truth, DESIGN.pairs
    right: dict[str, list[bool]] = {"mean": [], "absolute": [], "percent": []}
    for _ in range(2000):
        i, j = pairs[random.integers(len(pairs))]
        values = np.exp(DESIGN.only([i, j]).draw(random, seeds, shared=0.5))
        mean = interval(list(values[:, 0]))
        gap = difference(dict(enumerate(values[:, 0])), dict(enumerate(values[:, 1])), "lower")
        right["mean"].append(mean.low <= truth[i] <= mean.high)
        right["absolute"].append(gap.absolute.low <= truth[i] - truth[j] <= gap.absolute.high)
        right["percent"].append(gap.percent.low <= 100 * (truth[i] / truth[j] - 1) <= gap.percent.high)
    for what, each in right.items():
        assert 0.93 <= np.mean(each) <= 0.97, what


def test_the_percent_covers_where_the_reference_is_uncertain():
    """A large difference from a reference that varies: dividing by its mean as if that were known does not cover."""
    random = np.random.default_rng(0)
    right, naive = [], []
    for _ in range(1000):
        reference = 10 * np.exp(0.2 * random.standard_normal(5))
        values = 20 * np.exp(0.05 * random.standard_normal(5))
        truth = 100 * (2 * math.exp((0.05**2 - 0.2**2) / 2) - 1)
        found = difference(dict(enumerate(values)), dict(enumerate(reference)), "lower")
        right.append(found.percent.low <= truth <= found.percent.high)
        scale = 100 / np.mean(reference)
        naive.append(found.absolute.low * scale <= truth <= found.absolute.high * scale)
    assert 0.93 <= np.mean(right) <= 0.97
    assert np.mean(naive) < 0.8


def test_percent_and_verdict_never_disagree():
    random = np.random.default_rng(1)
    known = 0
    for _ in range(2000):
        n = int(random.integers(2, 8))
        reference = random.choice([-1, 1]) * np.exp(random.normal(size=n))
        values = reference * random.choice([0.8, 1.0, 1.5]) + 0.2 * random.normal(size=n)
        found = difference(dict(enumerate(values)), dict(enumerate(reference)), "lower")
        if found.percent.known:
            known += 1
            holds_zero = found.percent.low <= 0 <= found.percent.high
            assert holds_zero == (found.verdict == "not distinguishable")
            assert found.percent.low <= found.percent.mean <= found.percent.high
            assert (found.percent.mean < 0) == (found.absolute.mean < 0)
    assert 200 < known < 2000


def test_percents_are_given_where_the_reference_is_not_zero_and_only_there():
    assert math.isnan(relative([1.0, 2.0, 3.0], [0.0, 0.0, 0.0]).mean)
    assert math.isnan(relative([1.0, 2.0, 3.0], [-1.0, 0.5, 1.0]).mean)
    assert math.isnan(relative([], []).mean)
    alone = relative([3.0], [4.0])
    assert alone.mean == -25
    assert not alone.known
    wide = relative([9.0, 18.0, 27.0], [10.0, 20.0, 30.0])  # of three seeds: 20 +- 25
    assert math.isnan(wide.mean)
    same = relative([9.0, 9.9, 10.8], [10.0, 11.0, 12.0])
    assert (same.low, same.mean, same.high) == pytest.approx((-10, -10, -10), abs=1e-5)


def test_percents_do_not_depend_on_unit_or_sign():
    values, reference = [7.0, 8.5, 9.0, 8.0], [10.0, 11.5, 12.5, 10.5]
    found = relative(values, reference)
    scaled = relative([1e-9 * x for x in values], [1e-9 * x for x in reference])
    assert (scaled.low, scaled.high) == pytest.approx((found.low, found.high))
    turned = relative([-x for x in values], [-x for x in reference])
    assert (turned.low, turned.mean, turned.high) == pytest.approx((-found.high, -found.mean, -found.low))


def test_a_reference_without_spread_gives_the_interval_of_the_difference():
    values, reference = [9.0, 8.0, 8.5], [10.0, 10.0, 10.0]
    found = difference(dict(enumerate(values)), dict(enumerate(reference)), "lower")
    assert found.percent.low == pytest.approx(10 * found.absolute.low)
    assert found.percent.high == pytest.approx(10 * found.absolute.high)


def test_a_bound_that_is_not_zero_does_not_look_like_zero():
    assert percents(Percent(-27.3, -41.9, -12.4, 3), -1.0) == "27% [12, 42]"
    assert percents(Percent(2.0, 0.04, 4.0, 3)) == "2.00% [0.04, 4.00]"
    assert percents(Percent(2.0, 1.96, 2.04, 3)) == "2.00% [1.96, 2.04]"
    assert percents(Percent(5.0, math.nan, math.nan, 1)) == "5%"
    assert percents(Percent(-14.0, -14.0, -14.0, 3)) == "−14% [−14, −14]"
