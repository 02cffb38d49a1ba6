"""Solvers against diffusers' schedulers: the same network and draws in, the same numbers out.

diffusers has noise at t=1 and data at t=0, and its flows are noise - data: both are converted here. Where a scheduler
computes in float32 whatever it is handed (Euler, Heun and DPM-Solver++ cast the state), agreement is to 1e-5; the
others are run in float64 and agree to 1e-12.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    UniPCMultistepScheduler,
)
from helpers import built_ins
from torch import Generator, Tensor

from fmbench import AffinePath, Solver
from fmbench.testing.dummy_components import CountedField
from fmbench.testing.ode_problems import grids

# diffusers makes arrays of tensors, in a way that NumPy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

REGISTRY = built_ins()
WEIGHT = torch.randn(6, 6, generator=Generator().manual_seed(2), dtype=torch.float64) / 2
GRIDS = sorted(grids())
STEPS = 9
FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
FLOAT32 = {"rtol": 1e-5, "atol": 1e-5}
FLOAT64 = {"rtol": 1e-12, "atol": 1e-12}


def network(x: Tensor, level: Tensor) -> Tensor:
    """Stand in for a network, whatever its output means; it knows the time as a level of noise."""
    return torch.tanh(x @ WEIGHT.to(x)) + torch.sin(3 * level).to(x) * x


def state(dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(5, 6, generator=Generator().manual_seed(5), dtype=torch.float64).to(dtype)


def solver(name: str, **parameters: float) -> Solver:
    return REGISTRY.build(REGISTRY.spec("solver", name, parameters))


class Scheduled(AffinePath):
    """The path through a scheduler's nodes, the i-th at t = i/N. Its rates are free: no prediction depends on them."""

    def __init__(self, alpha: Tensor, sigma: Tensor) -> None:
        self.alpha, self.sigma = alpha.double(), sigma.double()

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        i = (t * (len(self.alpha) - 1)).round().long()
        alpha, sigma = self.alpha[i], self.sigma[i]
        return alpha, sigma, sigma, -alpha


Predict = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


def from_flow(x: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """Return x_1 and x_0 from the network's output as noise - data on the linear path."""
    flow = network(x, sigma)
    return x - sigma * flow, x + alpha * flow


def from_noise(x: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """Return x_1 and x_0 from the network's output as the noise."""
    noise = network(x, sigma / alpha)
    return (x - sigma * noise) / alpha, noise


def ours(component: Solver, path: Scheduled, predict: Predict, dtype: torch.dtype = torch.float64) -> Tensor:
    def velocity(x: Tensor, t: Tensor) -> Tensor:
        alpha, sigma, d_alpha, d_sigma = (c[0] for c in path.coefficients(t))
        x_1, x_0 = predict(x, alpha, sigma)
        return d_alpha * x_1 + d_sigma * x_0

    times = torch.linspace(0, 1, len(path.alpha), dtype=dtype)
    return component.integrate(CountedField(velocity, path, Generator().manual_seed(7)), state(dtype), times).double()


def theirs(scheduler: Any, levels: Tensor, dtype: torch.dtype = torch.float64, **settings: Any) -> Tensor:
    x = state(dtype)
    for t, level in zip(scheduler.timesteps, levels, strict=False):
        x = scheduler.step(network(x, level), t, x, **settings).prev_sample
    return x.double()


def on_the_linear_path(component: Solver, times: Tensor) -> Tensor:
    return component.integrate(CountedField(lambda x, t: -network(x, 1 - t[0])), state(), times)


@pytest.mark.parametrize("grid", GRIDS)
def test_euler(grid: str) -> None:
    scheduler, times = FlowMatchEulerDiscreteScheduler(), grids()[grid].times(STEPS)
    scheduler.set_timesteps(sigmas=(1 - times[:-1]).tolist())
    expected = theirs(scheduler, scheduler.sigmas, torch.float32)
    torch.testing.assert_close(on_the_linear_path(solver("euler"), times), expected, **FLOAT32)


def test_the_shift_grid_is_their_shift() -> None:
    """Of the same uniform noise levels: their own go from 1 to 1/1000 and then to 0."""
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    scheduler.set_timesteps(sigmas=(1 - grids()["uniform"].times(STEPS)[:-1]).tolist())
    torch.testing.assert_close(1 - scheduler.sigmas.double(), grids()["shift"].times(STEPS), rtol=0, atol=1e-6)


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_heun_edm(shift: float) -> None:
    """Their Heun, too, ends with a step of Euler's."""
    scheduler = FlowMatchHeunDiscreteScheduler(shift=shift)
    scheduler.set_timesteps(STEPS)
    assert len(scheduler.timesteps) == 2 * STEPS - 1
    expected = theirs(scheduler, scheduler.timesteps / 1000, torch.float32)
    times = 1 - scheduler.sigmas.double().unique().flip(0)
    torch.testing.assert_close(on_the_linear_path(solver("heun_edm"), times), expected, **FLOAT32)


@pytest.mark.parametrize("steps", [1, 2, 5, 20])
@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_dpmpp_2m(steps: int, shift: float) -> None:
    """As it comes, from noise level 0.999 on, with first and last step of first order."""
    scheduler = DPMSolverMultistepScheduler(**FLOW, flow_shift=shift)
    scheduler.set_timesteps(steps)
    path = Scheduled(1 - scheduler.sigmas.double(), scheduler.sigmas)
    expected = theirs(scheduler, scheduler.sigmas, torch.float32)
    torch.testing.assert_close(ours(solver("dpmpp_2m"), path, from_flow), expected, **FLOAT32)


@pytest.mark.parametrize("steps", [1, 2, 5, 20])
@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_dpmpp_2m_sde(steps: int, shift: float) -> None:
    """As it comes; theirs has eta = 1, and draws its noise in float32."""
    scheduler = DPMSolverMultistepScheduler(**FLOW, flow_shift=shift, algorithm_type="sde-dpmsolver++")
    scheduler.set_timesteps(steps)
    path = Scheduled(1 - scheduler.sigmas.double(), scheduler.sigmas)
    expected = theirs(scheduler, scheduler.sigmas, torch.float32, generator=Generator().manual_seed(7))
    found = ours(solver("dpmpp_2m_sde"), path, from_flow, torch.float32)
    torch.testing.assert_close(found, expected, **FLOAT32)


@pytest.mark.parametrize("grid", GRIDS)
def test_dpmpp_2m_from_pure_noise(grid: str) -> None:
    """Where lambda is infinite at first: by their arithmetic, too, the second step is of first order."""
    scheduler, times = DPMSolverMultistepScheduler(**FLOW), grids()[grid].times(STEPS)
    scheduler.set_timesteps(STEPS)
    scheduler.set_begin_index(0)
    scheduler.sigmas = 1 - times.float()
    expected = theirs(scheduler, scheduler.sigmas, torch.float32)
    torch.testing.assert_close(on_the_linear_path(solver("dpmpp_2m"), times), expected, **FLOAT32)


@pytest.mark.parametrize("shift", [1.0, 3.0])
@pytest.mark.parametrize("steps", [1, 2, 5, 20])
def test_unipc(steps: int, shift: float) -> None:
    """As it comes, from noise level 1 - 1e-6 on: at 1 its corrector would divide infinity by infinity."""
    scheduler = UniPCMultistepScheduler(**FLOW, flow_shift=shift)
    scheduler.set_timesteps(steps)
    scheduler.sigmas = scheduler.sigmas.double()
    path = Scheduled(1 - scheduler.sigmas, scheduler.sigmas)
    torch.testing.assert_close(ours(solver("unipc"), path, from_flow), theirs(scheduler, scheduler.sigmas), **FLOAT64)


@pytest.mark.parametrize(
    ("scheduler", "name", "dtype"),
    [
        (DPMSolverMultistepScheduler(), "dpmpp_2m", torch.float32),
        (UniPCMultistepScheduler(), "unipc", torch.float64),
    ],
    ids=["dpmpp_2m", "unipc"],
)
def test_multistep_solvers_of_a_diffusion_model(scheduler: Any, name: str, dtype: torch.dtype) -> None:
    """On the variance-preserving path, with a network that predicts the noise."""
    scheduler.set_timesteps(STEPS)
    scheduler.sigmas = scheduler.sigmas.to(dtype)
    alpha = (1 + scheduler.sigmas.double() ** 2) ** -0.5
    found = ours(solver(name), Scheduled(alpha, alpha * scheduler.sigmas), from_noise)
    tolerance = FLOAT32 if dtype == torch.float32 else FLOAT64
    torch.testing.assert_close(found, theirs(scheduler, scheduler.sigmas, dtype), **tolerance)


def variance_preserving(scheduler: Any) -> Scheduled:
    """Prepare a scheduler, and return the path of its nodes: its timesteps and then pure data."""
    scheduler.alphas_cumprod = scheduler.alphas_cumprod.double()
    scheduler.set_timesteps(STEPS)
    kept = torch.cat([scheduler.alphas_cumprod[scheduler.timesteps], torch.ones(1).double()])
    return Scheduled(kept.sqrt(), (1 - kept).sqrt())


def test_ddim() -> None:
    path = variance_preserving(scheduler := DDIMScheduler(clip_sample=False))
    expected = theirs(scheduler, path.sigma / path.alpha)
    torch.testing.assert_close(ours(solver("ddim"), path, from_noise), expected, **FLOAT64)


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_ancestral_is_ddim_with_noise(eta: float) -> None:
    path = variance_preserving(scheduler := DDIMScheduler(clip_sample=False))
    expected = theirs(scheduler, path.sigma / path.alpha, eta=eta, generator=Generator().manual_seed(7))
    torch.testing.assert_close(ours(solver("ancestral", eta=eta), path, from_noise), expected, **FLOAT64)


def test_ancestral_is_ddpm() -> None:
    """Its posterior mean and standard deviation, written in another way (Ho et al. 2020, eq. 7)."""
    path = variance_preserving(scheduler := DDPMScheduler(clip_sample=False))
    expected = theirs(scheduler, path.sigma / path.alpha, generator=Generator().manual_seed(7))
    torch.testing.assert_close(ours(solver("ancestral"), path, from_noise), expected, **FLOAT64)
