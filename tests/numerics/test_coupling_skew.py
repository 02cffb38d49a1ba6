"""Optimal transport within a batch skews the source given the label; conditional_ot does not (C2OT)."""

import math

import pytest
import torch

from fmbench_couplings.conditional_ot import ConditionalOT
from fmbench_couplings.independent import Independent
from fmbench_couplings.minibatch_ot import MinibatchOT
from fmbench_couplings.sinkhorn import Sinkhorn

CLASSES = 4
BATCH, BATCHES = 64, 60


@pytest.fixture(scope="module")
def batches():
    """Source, data in four clusters on a circle of radius 5, and the cluster as the label."""
    noise = torch.Generator().manual_seed(0)
    drawn = []
    for _ in range(BATCHES):
        y = torch.randint(CLASSES, (BATCH,), generator=noise)
        angle = y * (2 * math.pi / CLASSES)
        x_0, spread = (torch.randn(BATCH, 2, generator=noise) for _ in range(2))
        drawn.append((x_0, 5 * torch.stack([angle.cos(), angle.sin()], dim=1) + 0.5 * spread, y))
    return drawn


def named(coupling):
    return f"{type(coupling).__name__} {vars(coupling)}"


def source_by_label(coupling, batches):
    """Return the paired x_0 of each label, and of all."""
    noise = torch.Generator().manual_seed(1)
    paired = [coupling.pair(*batch, noise) for batch in batches]
    x_0, y = torch.cat([x_0 for x_0, _, _ in paired]), torch.cat([y for _, _, y in paired])
    return [x_0[y == label] for label in range(CLASSES)], x_0


def is_standard_normal(x):
    """Whether mean and covariance are those of the standard normal, to five standard errors."""
    error = 5 / math.sqrt(len(x))
    return bool((x.mean(0).abs() < error).all() and ((x.T.cov() - torch.eye(2)).abs() < math.sqrt(2) * error).all())


@pytest.mark.parametrize("coupling", [Independent(), ConditionalOT(), ConditionalOT(pool=2)], ids=named)
def test_source_given_the_label_is_the_source(coupling, batches):
    classes, everything = source_by_label(coupling, batches)
    assert all(map(is_standard_normal, classes))
    assert is_standard_normal(everything)


@pytest.mark.parametrize("coupling", [MinibatchOT(), ConditionalOT(weight=0.0), Sinkhorn()], ids=named)
def test_source_given_the_label_is_skewed(coupling, batches):
    classes, everything = source_by_label(coupling, batches)
    for label, x_0 in enumerate(classes):
        angle = label * 2 * math.pi / CLASSES
        towards = x_0 @ torch.tensor([math.cos(angle), math.sin(angle)])
        assert towards.mean() > 1
        assert towards.var() < 0.6
    assert is_standard_normal(everything)


def drift(coupling, n=256):
    """Return how far, on average, the paired x_0 lies towards its condition, for data on a circle."""
    noise = torch.Generator().manual_seed(0)
    towards = []
    for _ in range(8):
        angle = 2 * math.pi * torch.rand(n, generator=noise)
        c = torch.stack([angle.cos(), angle.sin()], dim=1)
        x_0, spread = (torch.randn(n, 2, generator=noise) for _ in range(2))
        paired, _, y = coupling.pair(x_0, 4 * c + 0.5 * spread, c, noise)
        towards.append((paired * y).sum(1))
    return torch.cat(towards).mean().item()


def test_source_given_the_vector_is_skewed_the_less_the_smaller_the_ratio():
    plain, usual, small = (drift(each) for each in (MinibatchOT(), ConditionalOT(), ConditionalOT(ratio=0.01)))
    assert plain > 1
    assert abs(small) < usual < 0.25 * plain
    assert abs(small) < 5 / math.sqrt(8 * 256)


def test_conditional_ot_still_transports(batches):
    def cost(coupling):
        noise = torch.Generator()
        paired = [coupling.pair(*batch, noise)[:2] for batch in batches]
        return sum((x_0 - x_1).square().sum(1).mean().item() for x_0, x_1 in paired) / BATCHES

    assert cost(MinibatchOT()) < cost(ConditionalOT()) < cost(Independent())
