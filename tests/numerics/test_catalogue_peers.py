"""Paths, couplings and solvers of the catalogue against torchcfm, Meta's flow_matching and POT."""

import pytest
import torch
from flow_matching.path import AffineProbPath
from flow_matching.path.scheduler import LinearVPScheduler, PolynomialConvexScheduler, VPScheduler
from torchcfm.conditional_flow_matching import SchrodingerBridgeConditionalFlowMatcher
from torchcfm.optimal_transport import OTPlanSampler

from fmbench.testing.dummy_components import CountedField, StraightPath
from fmbench_couplings.conditional_ot import ConditionalOT
from fmbench_couplings.minibatch_ot import MinibatchOT
from fmbench_paths.linear_vp import LinearVP
from fmbench_paths.polynomial import Polynomial
from fmbench_paths.schrodinger_bridge import SchrodingerBridge
from fmbench_paths.vp import VP
from fmbench_solvers.ddim import DDIM
from fmbench_solvers.euler import Euler


def draws(n=32, shape=(3,)):
    generator = torch.Generator().manual_seed(0)
    x_0, x_1 = (torch.randn(n, *shape, generator=generator, dtype=torch.float64) for _ in range(2))
    return x_0, x_1 + 1, 0.01 + 0.98 * torch.rand(n, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("shape", [(2,), (3, 8, 8)])
@pytest.mark.parametrize(
    ("path", "scheduler"),
    [(VP(), VPScheduler()), (LinearVP(), LinearVPScheduler()), (Polynomial(n=3.0), PolynomialConvexScheduler(3.0))],
    ids=["vp", "linear_vp", "polynomial"],
)
def test_flow_matching(path, scheduler, shape):
    x_0, x_1, t = draws(shape=shape)
    ours, theirs = path.sample(x_0, x_1, t, torch.Generator()), AffineProbPath(scheduler).sample(x_0=x_0, x_1=x_1, t=t)
    torch.testing.assert_close(ours.x_t, theirs.x_t, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(ours.dx_t, theirs.dx_t, rtol=1e-6, atol=1e-6)


def test_schrodinger_bridge_is_torchcfms():
    x_0, x_1, t = draws()
    ours = SchrodingerBridge(sigma=0.7).sample(x_0, x_1, t, torch.Generator())
    matcher = SchrodingerBridgeConditionalFlowMatcher(0.7)
    x_t = matcher.sample_xt(x_0, x_1, t, ours.epsilon)
    torch.testing.assert_close(ours.x_t, x_t, rtol=1e-6, atol=1e-6)
    expected = matcher.compute_conditional_flow(x_0, x_1, t, x_t)
    torch.testing.assert_close(ours.dx_t, expected, rtol=1e-6, atol=1e-6)


def test_minibatch_ot_has_the_cost_of_torchcfms_plan():
    x_0, x_1, _ = draws()
    costs = (torch.cdist(x_0, x_1) ** 2).numpy()
    plan = OTPlanSampler("exact").get_map(x_0, x_1)
    paired_0, paired_1, _ = MinibatchOT().pair(x_0, x_1, None, torch.Generator())
    found = (paired_0 - paired_1).square().sum(1).mean().item()
    assert found == pytest.approx((plan * costs).sum(), rel=1e-6)
    assert found < (x_0 - x_1).square().sum(1).mean()


def test_conditional_ot_pairs_within_classes():
    x_0, x_1, _ = draws()
    y = torch.arange(32) % 3
    paired_0, paired_1, paired_y = ConditionalOT().pair(x_0, x_1, y, torch.Generator())
    for label in range(3):
        given = sorted(x_0[y == label].tolist())
        assert sorted(paired_0[paired_y == label].tolist()) == given
    assert torch.equal(paired_1, x_1)


def test_ddim_is_euler_on_the_linear_path():
    field = CountedField(lambda x, t: torch.sin(3 * x + t[:, None]), StraightPath())
    times = torch.tensor([0.0, 0.1, 0.35, 0.8, 1.0], dtype=torch.float64)
    x_0 = draws()[0]
    expected = Euler().integrate(field, x_0, times)
    torch.testing.assert_close(DDIM().integrate(field, x_0, times), expected, rtol=0, atol=1e-12)
