"""Distances between point sets: known answers, peers' values, what shifts, scales and rotations do, no bias."""

import itertools
import math

import numpy as np
import pytest
import torch
from picture_sets import Pictures

from fmbench import DataError
from fmbench.testing.evidence import make_evidence
from fmbench_datasets.gaussian_on_circle import GaussianOnCircle
from fmbench_metrics import mmd, pairwise, wasserstein_2
from fmbench_metrics.energy_distance import EnergyDistance, energy_distance
from fmbench_metrics.joint_wasserstein import JointWasserstein
from fmbench_metrics.mmd import MMD
from fmbench_metrics.nfe import NFE
from fmbench_metrics.wasserstein_2 import Wasserstein2

METRICS = {"wasserstein_2": Wasserstein2, "mmd": MMD, "energy_distance": EnergyDistance}


def points(n, dim=2, seed=0):
    """Return float64 points of a standard normal."""
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def distance(name, x, y, **parameters):
    """Return a metric's value for samples `x` and the reference set `y`."""
    return METRICS[name](**parameters).compute(make_evidence(Pictures(y), x))[name]


def assignment(x, y):
    """Return the 2-Wasserstein distance of equally many points by scipy's assignment."""
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    cost = cdist(x, y, "sqeuclidean")
    return math.sqrt(cost[linear_sum_assignment(cost)].mean())


@pytest.mark.parametrize("shift", [(0.3, 0.4), (30.0, -40.0)])
def test_wasserstein_2_of_a_shifted_cloud_is_the_shift(shift):
    x = points(300)
    moved = (x + torch.tensor(shift, dtype=x.dtype)).flip(0)
    assert distance("wasserstein_2", moved, x) == pytest.approx(math.hypot(*shift), rel=1e-9)
    assert distance("wasserstein_2", x.flip(0), x) == pytest.approx(0, abs=1e-6)


def test_wasserstein_2_of_gaussians_is_the_closed_form():
    # Between N(0, I) and N(m, s^2 I) in the plane: |m|^2 + 2 (s - 1)^2.
    x, y = points(1000), 2 * points(1000, seed=1) + torch.tensor([3.0, 0.0])
    assert distance("wasserstein_2", x, y) == pytest.approx(math.sqrt(11), rel=0.02)


@pytest.mark.parametrize(("n", "m", "dim"), [(60, 60, 2), (60, 20, 2), (20, 30, 3), (1, 4, 1)])
def test_wasserstein_2_is_scipys_assignment_of_repeated_points(n, m, dim):
    x, y = points(n, dim), 0.5 + 1.5 * points(m, dim, seed=1)
    whole = math.lcm(n, m)
    theirs = assignment(x.repeat_interleave(whole // n, 0), y.repeat_interleave(whole // m, 0))
    assert wasserstein_2.wasserstein_2(x, y) == pytest.approx(theirs, rel=1e-9)


def test_wasserstein_2_takes_part_of_the_points_and_says_so():
    x, y = points(400), 1 + points(500, seed=1)
    whole, part = distance("wasserstein_2", x, y), distance("wasserstein_2", x, y, points=200)
    assert part == pytest.approx(whole, rel=0.1)
    assert part != whole
    assert distance("wasserstein_2", x, y, points=500) == whole
    assert Wasserstein2(points=200).identity(make_evidence(Pictures(y), x))["points"] == 200
    # The samples that take part are drawn from all of them: half of these lie elsewhere.
    assert distance("wasserstein_2", torch.cat([x, x + 50]), y, points=200) > 20


def test_wasserstein_2_that_is_no_optimum_is_not_given(monkeypatch):
    monkeypatch.setattr(wasserstein_2, "MOST_PIVOTS", 10)
    with pytest.warns(UserWarning, match="numItermax"), pytest.raises(RuntimeError, match="the optimal plan"):
        distance("wasserstein_2", points(50), points(50, seed=1))


def test_wasserstein_2_on_a_line_pairs_points_in_order():
    x, y = points(500, 1), points(500, 1, seed=1)
    in_order = (x.sort(0).values - y.sort(0).values).square().mean().sqrt().item()
    assert wasserstein_2.wasserstein_2(x, y) == pytest.approx(in_order, rel=1e-9)


def test_mmd_is_the_sum_over_pairs():
    x, y, widths = points(5), 0.7 + points(4, seed=1), (0.5, 2.0)

    def mean(pairs):
        values = [
            sum(math.exp(-(math.dist(a.tolist(), b.tolist()) ** 2) / (2 * s**2)) for s in widths) for a, b in pairs
        ]
        return sum(values) / len(values) / len(widths)

    expected = (
        mean(itertools.permutations(x, 2)) + mean(itertools.permutations(y, 2)) - 2 * mean(itertools.product(x, y))
    )
    assert squared_mmd(x, y, widths) == pytest.approx(expected, rel=1e-9)


def squared_mmd(x, y, widths):
    """Return the unbiased squared discrepancy for kernels of given bandwidths."""

    def kernel(squared):
        return mmd.mean_of_gaussians(squared, widths)

    within = pairwise.mean_within(kernel, x) + pairwise.mean_within(kernel, y)
    return within - 2 * pairwise.mean_between(kernel, x, y)


def test_mmd_of_one_kernel_is_torch_fidelitys():
    from torch_fidelity.metric_kid import kernel_mmd

    x, y = points(200, 3), 0.5 + points(200, 3, seed=1)
    theirs = kernel_mmd(x.numpy(), y.numpy(), kid_kernel="rbf", kid_kernel_rbf_sigma=1.5)
    assert squared_mmd(x, y, [1.5]) == pytest.approx(theirs, rel=1e-9)


def test_mmd_takes_its_bandwidths_from_the_reference_alone():
    from scipy.spatial.distance import pdist

    y = points(101)
    near, far, wider = (
        MMD().identity(make_evidence(Pictures(reference), x))["bandwidths"]
        for x, reference in ((points(50), y), (9 + points(50), y), (points(50), 2 * y))
    )
    assert near == far == pytest.approx(np.array([0.25, 0.5, 1, 2, 4]) * np.median(pdist(y)), rel=1e-3)
    assert wider == pytest.approx(2 * np.array(near), rel=1e-6)


def test_mmd_without_a_median_distance_is_refused():
    with pytest.raises(DataError, match="most points coincide"):
        distance("mmd", points(10), torch.zeros(10, 2))


@pytest.mark.parametrize(("n", "m"), [(40, 40), (7, 30)])
def test_energy_distance_is_scipys_but_for_the_pairs_of_a_point_with_itself(n, m):
    from scipy.stats import energy_distance as of_scipy

    x, y = points(n, 1), 0.5 + points(m, 1, seed=1)
    within_x, within_y = (pairwise.mean_within(torch.sqrt, each) for each in (x, y))
    theirs = of_scipy(x.flatten(), y.flatten()) ** 2 - within_x / n - within_y / m
    assert distance("energy_distance", x, y) == pytest.approx(theirs, rel=1e-9)


def test_energy_distance_of_two_places_is_twice_the_way():
    x, y = torch.zeros(5, 2), torch.tensor([[3.0, 4.0]]).expand(6, 2)
    assert distance("energy_distance", x, y) == pytest.approx(10)


def discrepancies(x, y):
    """Return the squared discrepancy of fixed bandwidths, and the energy distance."""
    return squared_mmd(x, y, (0.5, 2.0)), energy_distance(x, y, pairwise.mean_within(torch.sqrt, y))


def test_unbiased_distances_of_one_distribution_are_nought_on_average():
    # Over all ways to part a pool of points, pairs within a part are as far from each other as pairs between parts.
    pool = points(7, 3)
    parts = [list(rows) for rows in itertools.combinations(range(7), 3)]
    values = [discrepancies(pool[rows], pool[[i for i in range(7) if i not in rows]]) for rows in parts]
    assert np.mean(values, axis=0) == pytest.approx(0, abs=1e-12)
    assert (np.min(values, axis=0) < 0).all()


@pytest.mark.parametrize("name", METRICS)
def test_distances_grow_with_the_shift(name):
    y = points(300)
    values = [distance(name, points(300, seed=1) + shift, y) for shift in (0.0, 0.5, 1.0, 2.0)]
    assert values == sorted(values)
    assert values[3] > 3 * abs(values[0])


@pytest.mark.parametrize(("name", "power"), [("wasserstein_2", 1), ("energy_distance", 1), ("mmd", 0)])
def test_distances_follow_the_units_and_no_axis(name, power):
    x, y = 0.3 + points(120), points(80, seed=1)
    first = distance(name, x, y)
    assert distance(name, 3 * x, 3 * y) == pytest.approx(3**power * first, rel=1e-6)
    turn = torch.linalg.qr(points(2, seed=2)).Q
    assert distance(name, 5 + x @ turn, 5 + y @ turn) == pytest.approx(first, rel=1e-6)


@pytest.mark.parametrize("name", METRICS)
def test_distances_read_pictures_as_points(name):
    x, y = points(30, 12), 0.5 + points(40, 12, seed=1)
    assert distance(name, x.reshape(30, 3, 2, 2), y.reshape(40, 3, 2, 2)) == distance(name, x, y)


def test_means_over_pairs_do_not_depend_on_the_blocks(monkeypatch):
    x, y = points(100), points(70, seed=1)
    whole = discrepancies(x, y)
    monkeypatch.setitem(pairwise.PAIRS, "cpu", 2000)
    assert discrepancies(x, y) == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("name", METRICS)
def test_identity_tells_references_and_counts_apart(name):
    metric, y = METRICS[name](), points(30)
    identities = [
        metric.identity(make_evidence(Pictures(reference), points(n)))
        for reference, n in ((y, 20), (y, 21), (y + 1, 20))
    ]
    assert identities[0]["reference_n"] == 30
    assert identities[0] == metric.identity(make_evidence(Pictures(y), points(20, seed=3)))
    assert identities[0] not in identities[1:]


def test_nfe_is_what_was_counted():
    evidence = make_evidence(Pictures(points(4)))
    assert NFE().compute(evidence) == {"nfe": 8.0}
    evidence.nfe = None
    with pytest.raises(DataError, match="this evidence has none"):
        NFE().compute(evidence)


@pytest.mark.parametrize("name", METRICS)
def test_missing_samples_are_said(name):
    evidence = make_evidence(Pictures(points(4)))
    evidence.samples = None
    with pytest.raises(DataError, match="this evidence has none"):
        METRICS[name]().compute(evidence)


def told(labels, x, **parameters):
    """Return the joint distance of samples `x` that were drawn for conditions."""
    evidence = make_evidence(GaussianOnCircle(size=2000), x, labels=labels)
    return JointWasserstein(**parameters).compute(evidence)["joint_wasserstein"]


def test_joint_wasserstein_is_that_of_points_beside_their_conditions():
    dataset = GaussianOnCircle(size=2000)
    real, c = dataset.load("test")
    assert told(c.flip(0), real.flip(0)) == pytest.approx(0, abs=1e-4)
    for shift in (0.5, 3.0):
        assert told(c, real + torch.tensor([shift, 0.0])) == pytest.approx(shift, rel=1e-4)
    for scale in (0.5, 2.0):
        theirs = assignment(torch.cat([-real, scale * c], 1), torch.cat([real, scale * c], 1))
        assert told(c, -real, scale=scale) == pytest.approx(theirs, rel=1e-5)


def test_joint_wasserstein_sees_samples_of_another_condition():
    dataset = GaussianOnCircle(size=2000)
    real, c = dataset.load("test")
    other = dataset.radius * c.flip(0) + (real - dataset.radius * c)
    alone = Wasserstein2().compute(make_evidence(dataset, other))["wasserstein_2"]
    wrong = [told(c, other, scale=scale) for scale in (0.1, 1.0, 10.0)]
    assert wrong == sorted(wrong)
    assert alone < 0.5 < 1.0 < wrong[1]
    # In the limit every pair stays with its condition: the root mean square of what separates them.
    assert wrong[2] == pytest.approx((other - real).square().sum(1).mean().sqrt().item(), rel=0.2)


def test_joint_wasserstein_needs_vectors():
    for labels in (None, torch.zeros(500, dtype=torch.int64)):
        with pytest.raises(DataError, match="class_conditional: true"):
            told(labels, torch.zeros(500, 2))
