"""Memorised: copies, what lies between, the share in closed form of data that fill their space, duplicates."""

import pytest
import torch
from picture_sets import NOISE, REAL, Pictures, by_name

from fmbench import DataError
from fmbench.testing.evidence import make_evidence
from fmbench_metrics import memorised


class Splits(Pictures):
    """Training and test data that differ."""

    def __init__(self, train, test):
        super().__init__(train)
        self.test = test

    def load(self, split):
        return (self.x if split == "train" else self.test), None


def even(n, dim, seed):
    return torch.rand(n, dim, generator=torch.Generator().manual_seed(seed))


def share(samples, training, test=None):
    dataset = Splits(training, NOISE if test is None else test)
    return by_name("memorised").compute(make_evidence(dataset, samples))["memorised"]


def test_copies_of_the_training_set_are_memorised_to_the_last():
    assert share(REAL, REAL) == 1
    assert share(REAL.flip(0)[:37], REAL) == 1


def test_test_data_have_nothing_to_do_with_it():
    assert share(REAL, NOISE, test=REAL) < 0.01


def test_the_third_is_the_ratio_of_the_distances():
    training = torch.tensor([[0.0], [4.0], [100.0]])
    at = torch.tensor([[0.0], [0.99], [1.01], [2.0], [2.99], [3.01], [-1.9], [-2.1], [98.0], [-50.0]])
    single = [share(x[None], training) for x in at]
    assert single == [1, 1, 0, 0, 0, 1, 1, 0, 1, 0]
    assert share(at, training) == pytest.approx(0.5)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_fresh_points_of_data_that_fill_d_dimensions_evenly_have_3_to_the_minus_d(dim):
    n = 20_000
    expected = 3.0**-dim
    error = 4 * (expected * (1 - expected) / n) ** 0.5
    assert share(even(n, dim, 0), even(3000, dim, 1)) == pytest.approx(expected, abs=error + 0.005)


def test_half_copies_and_half_pictures_of_its_own():
    blended = (REAL[:200] + REAL[200:400]) / 2
    assert share(torch.cat([REAL[:200], blended]), REAL) == pytest.approx(0.5, abs=0.02)


def test_training_examples_that_are_equal_count_as_one():
    training = torch.cat([REAL[:100], REAL[:100], REAL[:50]])
    assert share(REAL[:100], training) == 1
    assert share(REAL[100:300], training) == share(REAL[100:300], REAL[:100])


def test_it_does_not_depend_on_blocks(monkeypatch):
    whole = share(even(1000, 2, 0), even(500, 2, 1))
    monkeypatch.setattr(memorised, "BLOCK", 7)
    assert share(even(1000, 2, 0), even(500, 2, 1)) == whole


def test_a_second_training_example_is_needed():
    with pytest.raises(DataError, match="two training examples that differ; found 1"):
        share(REAL[:5], torch.cat([REAL[:1], REAL[:1]]))
