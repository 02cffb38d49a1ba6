"""MIND: known answers, POT's distances along the same directions, and what subset is taken."""

import numpy as np
import ot
import pytest
import torch
from picture_sets import BLURRED, DIGITS, NOISE, REAL, Pictures, by_name

from fmbench.testing.evidence import make_evidence
from fmbench_metrics.mind import SEED, monge_distance


def features(n, d, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def test_a_set_is_at_no_distance_from_itself_in_any_order():
    x = features(300, 16)
    assert monge_distance(x, x.flip(0), 50) == 0


def test_a_shift_is_at_three_times_its_square():
    """Along a direction u the distance is (u.c)^2, whose mean over directions is |c|^2/d."""
    x, c = features(300, 8), torch.linspace(0.5, 2, 8)
    assert monge_distance(x, x + c, 20_000) == pytest.approx(3 * float(c.square().sum()), rel=0.03)


def test_a_spread_is_at_three_times_its_square():
    """Isotropic Gaussians of deviations 1 and 3 are (3 - 1)^2 apart along every direction: 12 d."""
    assert monge_distance(features(20_000, 4), 3 * features(20_000, 4, seed=1), 100) == pytest.approx(48, rel=0.03)


@pytest.mark.parametrize(("n", "m"), [(200, 200), (200, 350), (350, 200)])
def test_it_is_pots_distance_along_the_same_directions(n, m):
    """With torch-fidelity's draws: first what of the larger set takes part, then the directions."""
    x, y = features(n, 12), 2 * features(m, 12, seed=1) + 1
    found = monge_distance(x, y, 30)
    generator = torch.Generator().manual_seed(SEED)
    if n != m:
        rows = torch.randperm(max(n, m), generator=generator)[: min(n, m)]
        x, y = (x[rows], y) if n > m else (x, y[rows])
    directions = torch.randn(30, 12, generator=generator)
    directions = directions / directions.norm(dim=1, keepdim=True)
    apart = [ot.wasserstein_1d((x @ u).double().numpy(), (y @ u).double().numpy(), p=2) for u in directions]
    assert found == pytest.approx(3 * 12 * float(np.mean(apart)), rel=1e-4)


def test_better_pictures_score_better():
    same, blurred, noise = (
        by_name("mind_digits").compute(make_evidence(DIGITS, x))["mind_digits"] for x in (REAL, BLURRED, NOISE)
    )
    assert same == 0
    assert 0 < blurred < noise


def test_the_reference_is_another_for_another_number_of_samples():
    """What is kept of the reference for one number is not used for the other."""
    data = Pictures(REAL[:300])
    metric = by_name("mind_digits", projections=20)
    few, many = (make_evidence(data, NOISE[:n]) for n in (100, 250))
    alone = metric.compute(make_evidence(Pictures(REAL[:300].clone()), NOISE[:250]))
    metric.compute(few)
    assert metric.compute(many) == alone
