"""The Fréchet distance of features: exact arithmetic, distances that are known, and torch-fidelity's."""

import mpmath
import numpy as np
import pytest
import torch
from torch_fidelity.metric_fid import fid_statistics_to_metric

from fmbench_metrics.gaussians import Target, frechet_distance

D = 6
GENERATOR = torch.Generator().manual_seed(0)


def draw(n, d=D):
    return torch.randn(n, d, generator=GENERATOR, dtype=torch.float64)


SCALES = torch.logspace(0, -6, D, dtype=torch.float64)
SAME = draw(4)
CASES = {
    "well conditioned": (1.3 * draw(30) + 0.2, draw(40)),
    "scales from 1 to 1e-6": (draw(30) * SCALES @ draw(D), draw(40) * SCALES @ draw(D)),
    "fewer samples than features": (2 * draw(4), draw(40)),
    "fewer real than features": (2 * draw(30), draw(4)),
    "fewer of both": (2 * draw(4), draw(5)),
    "rank 2": (draw(30, 2) @ draw(2), draw(40, 2) @ draw(2)),
    "features that do not vary": (draw(30) * (SCALES > 0.1), draw(40) * (SCALES > 0.1)),
    "a set with itself": (SAME, SAME),
}


def exact(x, y):
    """Return the distance in 50 digits, and the sum of the variances."""
    with mpmath.workdps(50):
        (mean_x, s_x), (mean_y, s_y) = moments(x), moments(y)
        values, vectors = mpmath.eigsy(s_y)
        root = vectors * mpmath.diag([mpmath.sqrt(max(value, 0)) for value in values]) * vectors.T
        common = mpmath.eigsy(root * s_x * root, eigvals_only=True)
        traces = sum(s_x[i, i] + s_y[i, i] for i in range(D))
        moved = mpmath.norm(mean_x - mean_y) ** 2
        return float(moved + traces - 2 * sum(mpmath.sqrt(max(value, 0)) for value in common)), float(traces)


def moments(x):
    x = mpmath.matrix(x.tolist())
    mean = mpmath.matrix([[sum(x[:, j]) / x.rows for j in range(D)]])
    centred = x - mpmath.matrix([1] * x.rows) * mean
    return mean, centred.T * centred / (x.rows - 1)


def torch_fidelitys(x, y):
    sides = ({"mu": z.mean(0).numpy(), "sigma": np.cov(z.numpy(), rowvar=False)} for z in (x, y))
    return fid_statistics_to_metric(*sides, verbose=False)["frechet_inception_distance"]


@pytest.mark.parametrize("name", CASES)
def test_distance_is_that_of_exact_arithmetic_and_no_worse_than_torch_fidelitys(name):
    x, y = CASES[name]
    truth, traces = exact(x, y)
    error = abs(frechet_distance(x, Target.of(y)) - truth) / traces
    theirs = abs(torch_fidelitys(x, y) - truth) / traces
    assert error <= max(1e-14, theirs)
    assert error < 1e-8
    assert theirs < 1e-6


@pytest.mark.parametrize("n", [20, 64, 200], ids=["fewer than features", "as many", "more"])
def test_distance_of_a_set_that_is_stretched_and_moved_is_known(n):
    x = draw(n, 64)
    y = 1.7 * x + 0.3
    expected = float(0.7**2 * x.var(0).sum() + (y.mean(0) - x.mean(0)).square().sum())
    assert frechet_distance(x, Target.of(y)) == pytest.approx(expected, rel=1e-8)
    assert frechet_distance(y, Target.of(x)) == pytest.approx(expected, rel=1e-8)
    whole = Target.with_covariance(x.mean(0), x.T.cov())
    assert frechet_distance(y, whole) == pytest.approx(expected, rel=1e-8)


def test_float32_features_have_the_distance_of_torch_fidelity():
    x, y = (1.1 * draw(500, 64)).float(), draw(600, 64).float()
    assert frechet_distance(x, Target.of(y)) == pytest.approx(torch_fidelitys(x.double(), y.double()), rel=1e-9)
