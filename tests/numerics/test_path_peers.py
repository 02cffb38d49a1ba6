"""Paths against torchcfm's matchers and Meta's flow_matching, on the same draws."""

import pytest
import torch
from flow_matching.path import AffineProbPath, CondOTProbPath
from flow_matching.path.scheduler import CosineScheduler
from torchcfm.conditional_flow_matching import (
    ConditionalFlowMatcher,
    TargetConditionalFlowMatcher,
    VariancePreservingConditionalFlowMatcher,
)

from fmbench_paths.cosine import Cosine
from fmbench_paths.icfm import ICFM
from fmbench_paths.linear import Linear
from fmbench_paths.lipman import Lipman

SHAPES = [(2,), (3, 8, 8)]


def draws(shape):
    generator = torch.Generator().manual_seed(0)
    x_0, x_1 = (torch.randn(32, *shape, generator=generator, dtype=torch.float64) for _ in range(2))
    return x_0, x_1, torch.rand(32, generator=generator, dtype=torch.float64)


def sample(path, x_0, x_1, t):
    return path.sample(x_0, x_1, t, torch.Generator().manual_seed(1))


def assert_close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("path", "matcher"),
    [
        (Linear(), ConditionalFlowMatcher(0.0)),
        (Cosine(), VariancePreservingConditionalFlowMatcher(0.0)),
        (ICFM(sigma=0.0), ConditionalFlowMatcher(0.0)),
        (ICFM(sigma=0.3), ConditionalFlowMatcher(0.3)),
    ],
    ids=["linear", "cosine", "icfm-0", "icfm-0.3"],
)
def test_torchcfm(path, matcher, shape):
    x_0, x_1, t = draws(shape)
    ours = sample(path, x_0, x_1, t)
    epsilon = torch.zeros_like(x_0) if ours.epsilon is None else ours.epsilon
    x_t = matcher.sample_xt(x_0, x_1, t, epsilon)
    assert_close(ours.x_t, x_t)
    assert_close(ours.dx_t, matcher.compute_conditional_flow(x_0, x_1, t, x_t))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("sigma_min", [1e-4, 0.1])
def test_lipman_is_torchcfm_with_its_noise_as_source(shape, sigma_min):
    """torchcfm's target matcher draws x_t around t x_1; with x_0 as that noise it is Lipman's path."""
    x_0, x_1, t = draws(shape)
    matcher = TargetConditionalFlowMatcher(sigma_min)
    ours = sample(Lipman(sigma_min=sigma_min), x_0, x_1, t)
    x_t = matcher.sample_xt(x_0, x_1, t, epsilon=x_0)
    assert_close(ours.x_t, x_t)
    assert_close(ours.dx_t, matcher.compute_conditional_flow(x_0, x_1, t, x_t))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("path", "peer"),
    [(Linear(), CondOTProbPath()), (Cosine(), AffineProbPath(CosineScheduler()))],
    ids=["linear", "cosine"],
)
def test_flow_matching(path, peer, shape):
    x_0, x_1, t = draws(shape)
    ours, theirs = sample(path, x_0, x_1, t), peer.sample(x_0=x_0, x_1=x_1, t=t)
    assert_close(ours.x_t, theirs.x_t)
    assert_close(ours.dx_t, theirs.dx_t)


def test_icfm_records_standard_normal_noise():
    zeros = torch.zeros(200_000, 1, dtype=torch.float64)
    drawn = sample(ICFM(sigma=0.5), zeros, zeros, zeros[:, 0])
    assert drawn.epsilon.mean().abs() < 0.01
    assert abs(drawn.epsilon.std() - 1) < 0.01
    assert_close(drawn.x_t, 0.5 * drawn.epsilon)


def test_cosine_keeps_unit_variance():
    alpha_t, sigma_t, *_ = Cosine().coefficients(torch.linspace(0, 1, 1001, dtype=torch.float64))
    torch.testing.assert_close(alpha_t.square() + sigma_t.square(), torch.ones_like(alpha_t), rtol=0, atol=1e-15)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("path", [Linear(), Cosine(), Lipman(sigma_min=0.0)], ids=["linear", "cosine", "lipman"])
def test_noiseless_paths_end_exactly_at_the_data(path, dtype):
    alpha_t, sigma_t, *_ = path.coefficients(torch.tensor([0.0, 1.0], dtype=dtype))
    assert alpha_t.tolist() == [0.0, 1.0]
    assert sigma_t.tolist() == [1.0, 0.0]
