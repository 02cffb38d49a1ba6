"""Solvers against torchdiffeq and Meta's flow_matching, against quadrature rules, and against the order conditions."""

import itertools
import math

import numpy as np
import pytest
import torch
from flow_matching.solver import ODESolver
from flow_matching.utils import ModelWrapper
from scipy.integrate import simpson
from torchdiffeq import odeint
from torchdiffeq._impl.rk_common import rk4_step_func

from fmbench.errors import Diverged
from fmbench_solvers import torchdiffeq_adaptive, torchdiffeq_fixed
from fmbench_solvers.ab2 import AB2
from fmbench_solvers.euler import Euler
from fmbench_solvers.heun import Heun
from fmbench_solvers.midpoint import Midpoint
from fmbench_solvers.rk4 import RK4

WEIGHT = torch.randn(3, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
TABLEAUS = [Euler, Midpoint, Heun, RK4]
ADAPTIVE = [
    torchdiffeq_adaptive.Dopri5,
    torchdiffeq_adaptive.Dopri8,
    torchdiffeq_adaptive.Bosh3,
    torchdiffeq_adaptive.Fehlberg2,
    torchdiffeq_adaptive.AdaptiveHeun,
]


def field(x, t):
    """Turn, stretch and bend, faster with time."""
    return torch.tanh(x @ WEIGHT.to(x)) + torch.sin(3 * t)[:, None] * x


def state(dtype=torch.float64):
    return torch.randn(7, 3, generator=torch.Generator().manual_seed(5)).to(dtype)


def random_grid(steps, dtype=torch.float64):
    inner = torch.rand(steps - 1, generator=torch.Generator().manual_seed(steps), dtype=dtype).sort().values
    return torch.cat([torch.zeros(1, dtype=dtype), inner, torch.ones(1, dtype=dtype)])


def by_hand(method, x_0, times, **settings):
    return odeint(lambda t, x: field(x, t.expand(len(x))), x_0, times, method=method, **settings)[-1]


@pytest.mark.parametrize("steps", [1, 4, 9])
@pytest.mark.parametrize(
    ("solver", "method"),
    [
        (Euler(), "euler"),
        (Midpoint(), "midpoint"),
        (Heun(), "heun2"),
        (torchdiffeq_fixed.TorchdiffeqEuler(), "euler"),
        (torchdiffeq_fixed.TorchdiffeqMidpoint(), "midpoint"),
        (torchdiffeq_fixed.TorchdiffeqHeun3(), "heun3"),
        (torchdiffeq_fixed.TorchdiffeqRK4(), "rk4"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_torchdiffeq_on_the_same_grid(solver, method, steps):
    times = random_grid(steps)
    expected = by_hand(method, state(), times)
    torch.testing.assert_close(solver.integrate(field, state(), times), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("steps", [1, 4, 9])
def test_rk4_takes_torchdiffeqs_classic_steps(steps):
    """torchdiffeq has the classic step, though none of its methods takes it."""
    x, times = state(), random_grid(steps)
    for t, t_next in itertools.pairwise(times):
        x = x + rk4_step_func(lambda t, x, perturb=None: field(x, t.expand(len(x))), t, t_next - t, t_next, x)
    torch.testing.assert_close(RK4().integrate(field, state(), times), x, rtol=0, atol=1e-13)


class Wrapped(ModelWrapper):
    """The field as Meta's solver calls it: by keyword, with a time for the whole batch."""

    def forward(self, x, t, **extras):
        return field(x, t.expand(len(x)))


@pytest.mark.parametrize(
    ("solver", "method", "settings"),
    [
        (Euler(), "euler", {}),
        (Midpoint(), "midpoint", {}),
        (Heun(), "heun2", {}),
        (torchdiffeq_fixed.TorchdiffeqHeun3(), "heun3", {}),
        (torchdiffeq_fixed.TorchdiffeqRK4(), "rk4", {}),
        (torchdiffeq_adaptive.Dopri5(rtol=1e-9, atol=1e-9), "dopri5", {"rtol": 1e-9, "atol": 1e-9}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_metas_solver_on_the_same_grid(solver, method, settings):
    """dopri5's own last step ends at t=1 here, so it agrees to the tolerance only."""
    times = random_grid(9)
    expected = ODESolver(Wrapped(None)).sample(state(), step_size=None, method=method, time_grid=times, **settings)
    atol = 1e-8 if solver.adaptive else 1e-13
    torch.testing.assert_close(solver.integrate(field, state(), times), expected, rtol=0, atol=atol)


def test_rk4_is_not_torchdiffeqs_rk4():
    times = torch.arange(21, dtype=torch.float64) / 20
    gap = (RK4().integrate(field, state(), times) - by_hand("rk4", state(), times)).abs().max()
    assert 1e-9 < gap < 1e-3


@pytest.mark.parametrize("steps", range(1, 101))
def test_the_wrapper_makes_exactly_the_steps_of_the_grid(steps):
    calls = []
    times = (torch.arange(steps + 1, dtype=torch.float64) / steps).float()

    def counted(x, t):
        calls.append(t)
        return x

    torchdiffeq_fixed.TorchdiffeqEuler().integrate(counted, torch.ones(1, 1), times)
    assert len(calls) == steps


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_quadrature_rules(steps):
    """Where the velocity depends on t alone, a method is its quadrature rule: RK4 is Simpson's, for one."""
    times = random_grid(steps)
    rates = {"cubic": lambda t: 4 * t**3 - t + 1, "wave": lambda t: torch.cos(5 * t)}
    nodes = times.numpy()
    doubled = np.sort(np.concatenate([nodes, (nodes[1:] + nodes[:-1]) / 2]))
    for rate in rates.values():
        velocity = lambda x, t, rate=rate: rate(t)[:, None].expand_as(x)  # noqa: E731
        zero = torch.zeros(2, 1, dtype=torch.float64)
        values, fine = rate(times).numpy(), rate(torch.from_numpy(doubled)).numpy()
        panels = [simpson(fine[i : i + 3], x=doubled[i : i + 3]) for i in range(0, 2 * steps, 2)]
        for solver, expected in (
            (RK4(), sum(panels)),
            (Heun(), np.trapezoid(values, nodes)),
            (Midpoint(), (fine[1::2] * np.diff(nodes)).sum()),
            (Euler(), (values[:-1] * np.diff(nodes)).sum()),
        ):
            torch.testing.assert_close(
                solver.integrate(velocity, zero, times), torch.full_like(zero, expected), rtol=0, atol=1e-14
            )


@pytest.mark.parametrize("solver", TABLEAUS)
def test_linear_problems_follow_the_taylor_polynomial(solver):
    """One step of dx/dt = z x multiplies by the first terms of exp(z): as many as the order has, for these methods."""
    z = torch.linspace(-2, 1, 13, dtype=torch.float64)[:, None]
    one_step = solver().integrate(lambda x, t: z * x, torch.ones_like(z), torch.tensor([0.0, 1.0]).double())
    expected = sum(z**k / math.factorial(k) for k in range(solver.order + 1))
    torch.testing.assert_close(one_step, expected, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("solver", TABLEAUS)
def test_order_conditions(solver):
    """One condition a rooted tree (Hairer, Norsett and Wanner 1993, table II.2.2), up to the declared order."""
    stages = len(solver.tableau.b)
    a = np.array([[*row, *[0.0] * (stages - len(row))] for row in solver.tableau.a])
    b, c = np.array(solver.tableau.b), np.array(solver.tableau.c)
    np.testing.assert_allclose(a.sum(1), c, atol=1e-15)
    trees = [
        (1, b.sum(), 1),
        (2, b @ c, 1 / 2),
        (3, b @ c**2, 1 / 3),
        (3, b @ a @ c, 1 / 6),
        (4, b @ c**3, 1 / 4),
        (4, (b * c) @ a @ c, 1 / 8),
        (4, b @ a @ c**2, 1 / 12),
        (4, b @ a @ a @ c, 1 / 24),
    ]
    for order, found, expected in trees:
        assert (abs(found - expected) < 1e-15) or order > solver.order, (order, found, expected)


def test_ab2_is_exact_on_linear_rates_but_for_its_first_step():
    """The Euler start leaves b h^2/2; every later step, however long, integrates a + b t exactly."""
    times = random_grid(12)
    zero = torch.zeros(1, 1, dtype=torch.float64)
    x_1 = AB2().integrate(lambda x, t: (2 - 3 * t)[:, None], zero, times)
    start_error = -3 * times[1] ** 2 / 2
    assert x_1.item() + start_error.item() == pytest.approx(2 - 3 / 2, abs=1e-14)


def test_ab2_keeps_its_order_where_steps_jump():
    """Steps that alternate between long and short: the uniform formula would be of first order here."""
    errors = []
    for steps in (32, 64, 128, 256):
        long_and_short = torch.tensor([1.5, 0.5], dtype=torch.float64).repeat(steps // 2) / steps
        times = torch.cat([torch.zeros(1).double(), long_and_short.cumsum(0)])
        x_1 = AB2().integrate(lambda x, t: -x * torch.cos(t)[:, None], torch.ones(1, 1).double(), times)
        errors.append(abs(x_1.item() - math.exp(-math.sin(1))))
    orders = [math.log2(coarse / fine) for coarse, fine in itertools.pairwise(errors)]
    assert all(abs(order - 2) < 0.15 for order in orders), orders


@pytest.mark.parametrize("solver", ADAPTIVE)
def test_adaptive_solvers_are_torchdiffeq_called_by_hand(solver):
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
    expected = by_hand(solver.method, state(), ends, rtol=1e-4, atol=1e-5, options={"step_t": ends[1:]})
    found = solver(rtol=1e-4, atol=1e-5).integrate(field, state(), random_grid(3))
    assert torch.equal(found, expected)


@pytest.mark.parametrize("solver", ADAPTIVE)
def test_adaptive_solvers_are_near_torchdiffeqs_defaults(solver):
    """Ending the last step at t=1 changes the result by no more than the tolerance allows."""
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
    by_default = by_hand(solver.method, state(), ends, rtol=1e-4, atol=1e-4)
    found = solver(rtol=1e-4, atol=1e-4).integrate(field, state(), ends)
    torch.testing.assert_close(found, by_default, rtol=0.03, atol=0.03)


@pytest.mark.parametrize("solver", ADAPTIVE)
def test_adaptive_solvers_cost_whole_attempts_and_gain_from_tolerance(solver):
    truth = by_hand("dopri8", state(), torch.tensor([0.0, 1.0], dtype=torch.float64), rtol=1e-11, atol=1e-11)
    costs, errors = [], []
    for tolerance in (1e-2, 1e-4 if solver.order == 2 else 1e-7):
        calls = []

        def counted(x, t, calls=calls):
            calls.append(t)
            return field(x, t)

        x_1 = solver(rtol=tolerance, atol=tolerance).integrate(counted, state(), torch.tensor([0.0, 1.0]).double())
        assert (len(calls) - solver.nfe_offset) % solver.nfe_per_step == 0
        costs.append(len(calls))
        errors.append((x_1 - truth).abs().max().item())
    assert costs[1] > costs[0]
    assert errors[1] < errors[0] / 5


@pytest.mark.parametrize("solver", ADAPTIVE)
def test_tiny_velocities_are_not_asked_beyond_the_end(solver):
    """torchdiffeq's guess of the first step goes to t = 0.01 |x| / |v|, which may lie far beyond 1."""
    asked = []

    def slow(x, t):
        asked.append(t)
        return 1e-4 * torch.ones_like(x)

    x_1 = solver().integrate(slow, torch.ones(4, 2), torch.tensor([0.0, 1.0]))
    torch.testing.assert_close(x_1, torch.full_like(x_1, 1.0001))
    assert torch.cat(asked).max() <= 1


@pytest.mark.parametrize("solver", ADAPTIVE)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_field_that_blows_up_is_reported_as_diverged(solver, bad):
    def broken(x, t):
        return torch.where(t[:, None] > 0.3, bad, x)

    with pytest.raises(Diverged, match=solver.method):
        solver().integrate(broken, torch.ones(2, 2), torch.tensor([0.0, 1.0]))


@pytest.mark.parametrize("solver", [*TABLEAUS, AB2, torchdiffeq_fixed.TorchdiffeqRK4, torchdiffeq_adaptive.Dopri5])
def test_float32_follows_float64(solver):
    times = torch.arange(9, dtype=torch.float64) / 8
    with torch.inference_mode():
        double = solver().integrate(field, state(), times)
        single = solver().integrate(field, state(torch.float32), times.float())
    torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("solver", [*TABLEAUS, AB2])
def test_gradients_flow_through(solver):
    times = torch.arange(4, dtype=torch.float64) / 3
    x_0 = state().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: solver().integrate(field, x, times), (x_0,))
