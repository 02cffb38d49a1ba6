"""Verdicts that hold jointly, how many seeds would tell, and Welch's t."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from fmbench.stats.joint_verdicts import (
    MOST_SEEDS,
    joint_p,
    jointly,
    p_of,
    power,
    seeds_needed,
    seeds_said,
)
from fmbench.stats.paired_seeds import Interval, difference, interval
from fmbench.stats.welch import unpaired


@pytest.fixture(scope="module")
def random() -> np.random.Generator:
    return np.random.default_rng(0)


def test_p_values_are_those_of_scipys_paired_t_test(random: np.random.Generator) -> None:
    for n in (2, 3, 7):
        values, reference = random.normal(size=(2, n)) + 1
        assert p_of(interval(list(values - reference))) == pytest.approx(stats.ttest_rel(values, reference).pvalue)


def test_welchs_t_is_scipys(random: np.random.Generator) -> None:
    values, reference = list(random.normal(1, 3, size=4)), list(random.normal(size=9))
    found, theirs = unpaired(values, reference), stats.ttest_ind(values, reference, equal_var=False)
    assert found.p == pytest.approx(theirs.pvalue)
    low, high = theirs.confidence_interval()
    assert (found.gap.low, found.gap.high) == pytest.approx((low, high))
    assert unpaired([1.0, 1.0], [1.0, 1.0]).p == 1
    assert unpaired([2.0, 2.0], [1.0, 1.0]).p == 0


def test_of_many_differences_of_nothing_hardly_ever_one_is_told(random: np.random.Generator) -> None:
    """Twenty rows that share their reference, as in a table against a baseline: singly most tables would be wrong."""
    tables, wrong, wrong_singly = 400, 0, 0
    for _ in range(tables):
        values = random.normal(size=(21, 3))
        gaps = {i: interval(list(values[i] - values[20])) for i in range(20)}
        wrong += min(joint_p(gaps).values()) <= 0.05
        wrong_singly += any(gap.low > 0 or gap.high < 0 for gap in gaps.values())
    assert wrong <= 0.05 * tables + 2 * np.sqrt(0.05 * 0.95 * tables)
    assert wrong_singly > 0.3 * tables


def test_verdicts_are_joint_and_differences_stay_as_they_are() -> None:
    clear, near = {0: 1.0, 1: 1.001, 2: 0.999}, {0: 1.9, 1: 1.95, 2: 1.97}
    reference, same = {0: 2.0, 1: 2.0, 2: 2.0}, {0: 2.0, 1: 2.0, 2: 2.0}
    table = {name: difference(values, reference, "lower") for name, values in (("clear", clear), ("near", near))}
    table["identical"] = difference(same, reference, "lower")
    table["one seed"] = difference({0: 1.0}, reference, "lower")
    many = {**table, **{f"like near {i}": table["near"] for i in range(20)}}
    assert jointly({"clear": table["clear"]}, "lower")["clear"] == table["clear"]
    found = jointly({**many, "nothing": None}, "lower")
    said = {name: each.verdict for name, each in found.items() if each is not None}
    assert said["clear"] == "better"
    assert found["nothing"] is None
    assert said["near"] == said["identical"] == "not distinguishable"
    assert said["one seed"] == "cannot tell"
    assert jointly(many, "higher")["clear"].verdict == "worse"  # type: ignore[union-attr]
    assert all(found[name].absolute == each.absolute for name, each in many.items())  # type: ignore[union-attr]


def test_cells_that_are_identical_take_no_power_from_the_others() -> None:
    told, same = interval([1.0, 1.1, 1.2]), interval([0.0, 0.0, 0.0])
    assert joint_p({"told": told, **{f"same {i}": same for i in range(99)}})["told"] == pytest.approx(p_of(told))


def test_the_power_is_that_of_a_simulation(random: np.random.Generator) -> None:
    for effect, n, level in ((1.0, 8, 0.05), (4.0, 4, 0.05 / 20)):
        p = stats.ttest_1samp(random.normal(effect, 1, size=(20_000, n)), 0, axis=1).pvalue
        assert power(effect, n, level) == pytest.approx((p <= level).mean(), abs=0.012)
    assert power(1e12, 3, 0.001) == pytest.approx(1)


def test_more_seeds_never_see_less() -> None:
    """scipy's noncentral t distribution gives NaN here and there, at effect 8 and 26 seeds, say."""
    for level in (0.05, 0.05 / 184):
        for effect in (0.3, 1.0, 5.0, 8.0, 30.0, 1e4):
            found = [power(effect, n, level) for n in range(2, MOST_SEEDS + 1)]
            assert all(b >= a - 1e-9 for a, b in pairwise(found))


def of_effect(effect: float, n: int = 5) -> Interval:
    """Return the interval of n values whose mean is `effect` of their deviations."""
    values = np.linspace(-1, 1, n)
    return interval(list(values / values.std(ddof=1) + effect))


@pytest.mark.parametrize("together", [1, 30])
def test_as_many_seeds_as_needed_tell_in_nine_of_ten_cases_and_one_less_does_not(together: int) -> None:
    for effect in (0.8, 1.5, 4.0):
        needed = seeds_needed(of_effect(effect), together)
        assert needed is not None
        assert power(effect, needed, 0.05 / together) >= 0.9 > power(effect, needed - 1, 0.05 / together)


def test_what_is_said_of_seeds_counts_no_further_than_anybody_trains() -> None:
    assert seeds_needed(of_effect(0.1)) is None
    assert seeds_said(of_effect(0.1)) == f"more than {MOST_SEEDS} seeds"
    assert seeds_said(of_effect(1.0)) == "about 13 seeds"
    assert seeds_said(Interval(1.0, float("nan"), 1)) == "two seeds or more"
    assert seeds_said(interval([0.0, 0.0])) == ""
    assert seeds_said(of_effect(9.0, 9)) == "about 10 seeds"  # never fewer than there are
