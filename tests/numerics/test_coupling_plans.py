"""The couplings by optimal transport: their plans against POT's, their costs, their limits, and what a pool gains."""

import numpy as np
import ot
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from fmbench_couplings.conditional_ot import HEAVIEST, ConditionalOT, weight_for
from fmbench_couplings.minibatch_ot import MinibatchOT
from fmbench_couplings.sinkhorn import Sinkhorn

CLASSES = 3


def batch(n, dim, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x_0, x_1 = (torch.randn(n, dim, generator=generator, dtype=torch.float64) for _ in range(2))
    y = torch.randint(CLASSES, (n,), generator=generator)
    return x_0, 0.7 * x_1 + y[:, None], y


def vectors(n, seed=0):
    x_0, x_1, _ = batch(n, 2, seed)
    y = torch.randn(n, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x_0, x_1 + 3 * y[:, :2], y


def named(coupling):
    return f"{type(coupling).__name__} {vars(coupling)}"


def cost(x_0, x_1):
    return (x_0 - x_1).square().flatten(1).sum(1).mean().item()


def all_costs(x_0, x_1):
    return ot.dist(x_0.numpy(), x_1.numpy(), metric="sqeuclidean")


def uniform(n):
    return np.full(n, 1 / n)


@pytest.mark.parametrize("dim", [2, 64])
@pytest.mark.parametrize("batches", [1, 4])
def test_minibatch_ot_is_pots(dim, batches):
    coupling = MinibatchOT(pool=batches)
    n = 32 * coupling.pool
    x_0, x_1, _ = batch(n, dim)
    paired_0, paired_1, _ = coupling.pair(x_0, x_1, None, torch.Generator())
    plan = ot.emd(uniform(n), uniform(n), all_costs(x_0, x_1))
    torch.testing.assert_close(paired_0, n * torch.from_numpy(plan).T @ x_0, rtol=0, atol=1e-6)
    assert torch.equal(paired_1, x_1)


@pytest.mark.parametrize("weight", [0.0, 0.3, 3.0, 1e6])
def test_conditional_ot_is_pots(weight):
    x_0, x_1, y = batch(64, 2)
    paired_0, _, _ = ConditionalOT(weight=weight).pair(x_0, x_1, y, torch.Generator())
    costs = all_costs(x_0, x_1) + weight * (y[:, None] != y).double().numpy()
    plan = ot.emd(uniform(64), uniform(64), costs)
    torch.testing.assert_close(paired_0, 64 * torch.from_numpy(plan).T @ x_0, rtol=0, atol=1e-6)


@pytest.mark.parametrize("distance", ["cosine", "squared"])
def test_conditional_ot_of_vectors_is_pots(distance):
    x_0, x_1, y = vectors(64)
    coupling = ConditionalOT(weight=3.0, distance=distance, ratio=None)
    paired_0, kept, conditions = coupling.pair(x_0, x_1, y, torch.Generator())
    metric = {"cosine": "cosine", "squared": "sqeuclidean"}[distance]
    plan = ot.emd(uniform(64), uniform(64), all_costs(x_0, x_1) + 3.0 * cdist(y.numpy(), y.numpy(), metric))
    torch.testing.assert_close(paired_0, 64 * torch.from_numpy(plan).T @ x_0, rtol=0, atol=1e-6)
    assert kept is x_1
    assert conditions is y


def test_a_ratio_of_one_is_minibatch_ot_and_a_small_one_the_pairs_that_were_drawn():
    x_0, x_1, y = vectors(64)
    plain, _, _ = MinibatchOT().pair(x_0, x_1, y, torch.Generator())
    assert torch.equal(ConditionalOT(ratio=1.0).pair(x_0, x_1, y, torch.Generator())[0], plain)
    assert torch.equal(ConditionalOT(ratio=1e-6).pair(x_0, x_1, y, torch.Generator())[0], x_0)
    costs = [cost(ConditionalOT(ratio=r).pair(x_0, x_1, y, torch.Generator())[0], x_1) for r in (1e-6, 0.05, 0.2, 1.0)]
    assert costs == sorted(costs, reverse=True)


@pytest.mark.parametrize("ratio", [0.02, 0.05, 0.2, 0.4])
def test_the_weight_is_what_bisection_finds(ratio):
    """The authors bisect for the weight at which so many entries cost no more than the diagonal of their column."""
    x_0, x_1, y = vectors(64)
    costs = torch.from_numpy(all_costs(x_0, x_1))
    apart = torch.from_numpy(cdist(y.numpy(), y.numpy(), "cosine")).clamp(min=0).fill_diagonal_(0)

    def share(weight):
        return float((costs + weight * apart <= costs.diagonal()).double().mean())

    low, high = 0.0, HEAVIEST
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if share(middle) >= ratio else (low, middle)
    found = weight_for(ratio, costs, apart)
    assert found == pytest.approx(low, rel=1e-6)
    assert share(found * (1 - 1e-9)) >= ratio > share(found * (1 + 1e-9))


def test_the_weight_is_at_least_nothing_and_no_more_than_the_heaviest():
    costs, apart = torch.tensor([[1.0, 5.0], [5.0, 1.0]]), torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    assert weight_for(1.0, costs, apart) == 0.0  # even at no weight the entries off the diagonal are dearer
    assert weight_for(0.1, costs, apart) == HEAVIEST  # the diagonal alone is more than that


@pytest.mark.parametrize("weight", [1e6, 1e15, 1e17, 1e30, float("inf")])
@pytest.mark.parametrize(("shares", "pool"), [((0.25, 0.25, 0.25, 0.25), 1), ((0.8, 0.15, 0.04, 0.01), 4)])
def test_conditional_ot_of_any_large_weight_is_the_cheapest_within_classes(weight, shares, pool):
    """The lexicographic optimum: fewest crossings, which is none, and then the least distance."""
    generator = torch.Generator().manual_seed(1)
    x_0, x_1 = torch.randn(2, 96 * pool, 2, generator=generator)
    y = torch.multinomial(torch.tensor(shares), 96 * pool, replacement=True, generator=generator)
    paired, kept, labels = ConditionalOT(weight=weight, pool=pool).pair(x_0, x_1, y, generator)
    assert torch.equal(kept, x_1)
    assert torch.equal(labels, y)
    for label in range(len(shares)):
        within = all_costs(x_0[y == label].double(), x_1[y == label].double())
        rows, columns = linear_sum_assignment(within)
        assert {tuple(x) for x in paired[y == label].tolist()} == {tuple(x) for x in x_0[y == label].tolist()}
        found = (paired - x_1)[y == label].double().square().sum().item()
        assert found == pytest.approx(within[rows, columns].sum(), rel=1e-6)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.999, 1.0])
def test_conditional_ot_of_a_weight_near_the_largest_distance(share):
    """Where one class is solved after the other, and just below, the whole problem's optimum is found."""
    x_0, x_1, y = batch(60, 2)
    costs = all_costs(x_0, x_1)
    weight = share * costs.max()
    costs += weight * (y[:, None] != y).double().numpy()
    paired, _, _ = ConditionalOT(weight=weight).pair(x_0, x_1, y, torch.Generator())
    source = (paired[:, None] == x_0).all(2).int().argmax(1).numpy()
    assert sorted(source) == list(range(60))
    assert costs[source, np.arange(60)].sum() == pytest.approx(costs[linear_sum_assignment(costs)].sum(), rel=1e-12)


@pytest.mark.parametrize(("dim", "reg"), [(2, 0.5), (2, 2.0), (64, 5.0), (64, 50.0)])
def test_sinkhorn_is_pots(dim, reg):
    x_0, x_1, _ = batch(48, dim)
    plan = Sinkhorn(reg=reg, relative=False, tolerance=1e-11).plan(x_0, x_1)
    theirs = ot.sinkhorn(
        uniform(48), uniform(48), all_costs(x_0, x_1), reg, "sinkhorn_log", numItermax=100_000, stopThr=1e-11
    )
    torch.testing.assert_close(48 * plan, 48 * torch.from_numpy(theirs), rtol=0, atol=1e-6)


@pytest.mark.parametrize("coupling", [MinibatchOT(), ConditionalOT(), ConditionalOT(weight=1.0)], ids=named)
@pytest.mark.parametrize("dim", [1, 2, 64])
def test_costs_no_more_than_independent(coupling, dim):
    for seed in range(5):
        x_0, x_1, y = batch(40, dim, seed)
        assert cost(*coupling.pair(x_0, x_1, y, torch.Generator())[:2]) <= cost(x_0, x_1)


@pytest.mark.parametrize("dim", [1, 2, 64])
def test_sinkhorn_lies_between_minibatch_ot_and_independent(dim):
    x_0, x_1, _ = batch(40, dim)
    costs = torch.from_numpy(all_costs(x_0, x_1))
    least = cost(*MinibatchOT().pair(x_0, x_1, None, torch.Generator())[:2])
    independent = costs.mean().item()
    plans = [Sinkhorn(reg=reg, tolerance=1e-6).plan(x_0, x_1) for reg in (0.1, 0.3, 3.0, 1e4)]
    found = [least, *((plan * costs).sum().item() for plan in plans), independent]
    assert found == sorted(found)
    nearly = (Sinkhorn(reg=0.003).plan(x_0, x_1) * costs).sum().item()
    assert nearly == pytest.approx(least, rel=0.01)
    torch.testing.assert_close(plans[-1], torch.full_like(costs, 1 / costs.numel()), rtol=2e-3, atol=0)


def test_sinkhorn_keeps_both_marginals():
    x_0, x_1, _ = batch(40, 2)
    for tolerance in (1e-2, 1e-5):
        plan = Sinkhorn(tolerance=tolerance).plan(x_0, x_1)
        torch.testing.assert_close(plan.sum(0), torch.full_like(plan[0], 1 / 40), rtol=1e-12, atol=0)
        assert (plan.sum(1) - 1 / 40).abs().sum() / 2 <= tolerance


def test_sinkhorns_unit_is_that_of_the_data():
    x_0, x_1, _ = batch(40, 2)
    plan = Sinkhorn(tolerance=1e-10).plan(x_0, x_1)
    torch.testing.assert_close(Sinkhorn(tolerance=1e-10).plan(30 * x_0, 30 * x_1 + 500), plan, rtol=1e-6, atol=1e-12)
    absolute = Sinkhorn(reg=2.0, relative=False)
    assert not torch.allclose(absolute.plan(2 * x_0, 2 * x_1), absolute.plan(x_0, x_1))


def test_sinkhorn_draws_from_its_plan():
    class Planned(Sinkhorn):
        def plan(self, x_0, x_1):
            return made

    made = torch.rand(7, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64).square()
    noise, counts, draws = torch.Generator().manual_seed(1), torch.zeros(7, 7, dtype=torch.float64), 2000
    numbers = torch.arange(7.0)[:, None]
    for _ in range(draws):
        rows = Planned().pair(numbers, numbers, None, noise)[0].squeeze(1).long()
        counts[rows, torch.arange(7)] += 1
    chances = made / made.sum(0)
    assert ((counts / draws - chances).abs() <= 5 * (chances * (1 - chances) / draws).sqrt()).all()


def test_sinkhorn_pairs_what_has_no_differences():
    same = torch.ones(5, 2)
    assert torch.equal(Sinkhorn().plan(same, same), torch.full((5, 5), 1 / 25, dtype=torch.float64))
    one = Sinkhorn().pair(same[:1], same[:1] + 3, None, torch.Generator())
    assert torch.equal(one[0], same[:1])


def test_sinkhorn_says_when_it_has_not_converged():
    x_0, x_1, _ = batch(40, 2)
    with pytest.raises(RuntimeError, match=r"after 20 iterations with reg=0.001 .* minibatch_ot is the limit"):
        Sinkhorn(reg=0.001, iterations=20).plan(x_0, x_1)
    with pytest.raises(RuntimeError, match="did not converge"):
        Sinkhorn().plan(x_0 * torch.nan, x_1)


@pytest.mark.parametrize("coupling", [MinibatchOT(pool=4), ConditionalOT(pool=4)], ids=named)
def test_a_pool_costs_no_more_than_its_batches(coupling):
    x_0, x_1, y = batch(4 * 32, 2)
    pooled = cost(*coupling.pair(x_0, x_1, y, torch.Generator())[:2])
    parts = zip(x_0.split(32), x_1.split(32), y.split(32), strict=True)
    alone = [cost(*coupling.pair(*part, torch.Generator())[:2]) for part in parts]
    assert pooled < sum(alone) / len(alone)
