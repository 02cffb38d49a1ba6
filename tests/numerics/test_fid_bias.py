"""FID's bias in n, and FID-infinity: known populations, where FID, its floor and the truth are known."""

import numpy as np
import pytest
import torch

from fmbench_metrics.extrapolation import Cloud, extrapolate
from fmbench_metrics.gaussians import Target

DIMENSIONS = 8
SIZES = (96, 192, 512)
REPEATS = 60
WHITE = Target(torch.zeros(DIMENSIONS, dtype=torch.float64), torch.eye(DIMENSIONS, dtype=torch.float64))
CASES = {"same": (0.0, 1.0), "wider": (0.5, 1.3), "narrower": (0.2, 0.7)}
"""By name: how far the mean of the samples is from the target's, and their standard deviation."""


def truth(name):
    moved, deviation = CASES[name]
    return moved**2 + DIMENSIONS * (deviation - 1) ** 2


@pytest.fixture(scope="module", params=CASES)
def measured(request):
    """Rows (FID, FID-infinity, standard error) for every n, of samples of Gaussians against N(0, I)."""
    moved, deviation = CASES[request.param]
    generator = torch.Generator().manual_seed(0)
    rows = {}
    for n in SIZES:
        rows[n] = np.empty((REPEATS, 3))
        for row in rows[n]:
            x = torch.randn(n, DIMENSIONS, generator=generator, dtype=torch.float64)
            found = extrapolate(deviation * x + moved / DIMENSIONS**0.5, WHITE, generator)
            row[:] = float(found.distances[0]), found.value, found.error
    return request.param, rows


def line(rows, column):
    """Return intercept and slope of the means against 1/n, and the slope's standard error."""
    x = np.array([1 / n for n in rows])
    means = np.array([found[:, column].mean() for found in rows.values()])
    errors = np.array([found[:, column].std(ddof=1) / REPEATS**0.5 for found in rows.values()])
    (slope, intercept), covariance = np.polyfit(x, means, 1, w=1 / errors, cov="unscaled")
    return intercept, slope, covariance[0, 0] ** 0.5


def test_fid_falls_as_a_constant_plus_b_over_n(measured):
    name, rows = measured
    means = [found[:, 0].mean() for found in rows.values()]
    assert means == sorted(means, reverse=True)
    if name == "same":
        intercept, slope, error = line(rows, 0)
        # To first order, |mean|^2 has d/n of it and the covariance d(d + 1)/(4n): half of what two finite sets have.
        assert slope == pytest.approx(DIMENSIONS + DIMENSIONS * (DIMENSIONS + 1) / 4, rel=0.1)
        assert slope > 10 * error
        assert abs(intercept) < 0.02 * means[0]


def test_the_floor_of_two_finite_sets_is_twice_that_of_one():
    generator = torch.Generator().manual_seed(1)
    n = 512
    draws = torch.randn(2 * REPEATS, n, DIMENSIONS, generator=generator, dtype=torch.float64)
    distances = [float(Cloud(x, Target.of(y)).distances([torch.arange(n)])) for x, y in draws.split(2)]
    assert n * np.mean(distances) == pytest.approx(DIMENSIONS**2 / 2 + 2.5 * DIMENSIONS, rel=0.07)


def test_fid_infinity_is_flat_in_n_and_at_the_truth(measured):
    name, rows = measured
    intercept, slope, error = line(rows, 1)
    assert abs(slope) < 2.6 * error
    for found in rows.values():
        assert abs(found[:, 1].mean() - truth(name)) < 3.3 * found[:, 1].std(ddof=1) / REPEATS**0.5
    assert intercept == pytest.approx(truth(name), abs=0.03)


def test_its_intervals_cover_the_truth_and_are_no_wider_than_they_must_be(measured):
    name, rows = measured
    found = np.concatenate(list(rows.values()))
    covered = np.abs(found[:, 1] - truth(name)) <= 1.96 * found[:, 2]
    assert 0.92 <= covered.mean() <= 0.98
    assert ((found[:, 1] - truth(name)) / found[:, 2]).std() == pytest.approx(1, abs=0.15)


def test_samples_by_class_are_cut_by_class():
    """Each class with its exact share has less bias than draws of the mixture; cuts that ignore it take too much."""
    generator = torch.Generator().manual_seed(2)
    labels = torch.arange(96) % 2
    centres = torch.zeros(2, 2, dtype=torch.float64)
    centres[1, 0] = 8.0
    target = Target.with_covariance(torch.tensor([4.0, 0.0]).double(), torch.diag(torch.tensor([17.0, 1.0]).double()))
    values, ignoring, errors = [], [], []
    for _ in range(REPEATS):
        x = centres[labels] + torch.randn(96, 2, generator=generator, dtype=torch.float64)
        found = extrapolate(x, target, generator, labels=labels)
        values.append(found.value)
        errors.append(found.error)
        ignoring.append(extrapolate(x, target, generator).value)
    spread = np.std(values) / REPEATS**0.5
    assert abs(np.mean(values)) < 3.3 * spread
    assert np.mean(ignoring) < -3.3 * spread
    assert np.sqrt(np.square(errors).mean()) == pytest.approx(np.std(values), rel=0.4)
