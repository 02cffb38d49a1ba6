"""The sliced Wasserstein distance: POT's values, and what shifts, scales and repeats do."""

import numpy as np
import pytest
import torch
from picture_sets import Pictures

from fmbench.testing.evidence import make_evidence
from fmbench_datasets.gaussian_mixture import GaussianMixture
from fmbench_metrics.sliced_wasserstein import SlicedWasserstein, squared_distances


@pytest.mark.parametrize("n", [5000, 700])
def test_sliced_wasserstein_is_pots(n):
    import ot

    dataset = GaussianMixture()
    samples = dataset.source(n, torch.Generator().manual_seed(0))
    evidence = make_evidence(dataset, samples)
    directions = torch.randn(256, 2, generator=evidence.generator("projections"))
    directions = torch.nn.functional.normalize(directions, dim=1)
    theirs = ot.sliced_wasserstein_distance(
        samples.double().numpy(),
        dataset.load("test")[0].double().numpy(),
        projections=directions.T.double().numpy(),
        p=2,
    )
    assert SlicedWasserstein().compute(evidence)["sliced_wasserstein"] == pytest.approx(theirs, rel=1e-4)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (3, 3), (4, 6), (7, 5), (1, 9), (100, 1)])
def test_one_dimensional_distance_is_pots(n, m):
    import ot

    random = np.random.default_rng(0)
    x, y = random.normal(size=n), random.normal(size=m)
    ours = squared_distances(torch.from_numpy(x).sort().values[None], torch.from_numpy(y).sort().values[None])
    assert ours.item() == pytest.approx(ot.emd2_1d(x, y, metric="sqeuclidean"), rel=1e-9)


def test_sliced_wasserstein_of_repeated_points_is_that_of_the_points():
    x, y = torch.randn(2, 1, 12, dtype=torch.float64)
    x, y = x.sort().values, y.sort().values[:, :7]
    torch.testing.assert_close(squared_distances(x.repeat_interleave(3, 1), y), squared_distances(x, y))


def test_sliced_wasserstein_of_a_shift_and_a_scale():
    dataset = Pictures(torch.randn(500, 2, generator=torch.Generator().manual_seed(0)))

    def distance(samples):
        return SlicedWasserstein().compute(make_evidence(dataset, samples))["sliced_wasserstein"]

    assert distance(dataset.x) == 0
    near, far = distance(dataset.x + 1), distance(dataset.x + 2)
    assert far == pytest.approx(2 * near, rel=1e-5)
    assert distance(dataset.x.flip(0)) == pytest.approx(0, abs=1e-6)
    assert SlicedWasserstein().identity(make_evidence(dataset, dataset.x))["reference_n"] == 500
