"""Solvers that draw noise, by moments that are exact: between Gaussians each step is linear in state and noise.

One row of a batch starts at the mean of the path and draws nothing, one starts a standard deviation away, and every
further one draws a single 1 in one step. Differences from the first row are what a state owes to its start and to each
draw; their squares sum to its variance.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest
import torch
from torch import Generator, Tensor

from fmbench import AffinePath, Mixture
from fmbench.cells.keys import canonical
from fmbench.errors import ComponentError
from fmbench.plugins.registry import load_registry
from fmbench.testing.dummy_components import CountedField
from fmbench.testing.ode_problems import uniform_times

REGISTRY = load_registry()
MEAN, STD = 1.5, 0.4
GAUSSIAN = Mixture(*(torch.tensor(a, dtype=torch.float64) for a in ([1.0], [[MEAN]], [[[STD**2]]])))
PATHS = ["linear", "cosine", "lipman", "polynomial", "vp"]
TIMES = torch.tensor([0.0, 0.15, 0.4, 0.5, 0.85, 1.0], dtype=torch.float64)
FORMS = ["constant", "sbdm", "sigma", "linear", "decreasing", "increasing_decreasing"]
CLOSE = {"rtol": 0, "atol": 1e-12}

Field = Callable[[Tensor, Tensor], Tensor]


def path_of(name: str) -> AffinePath:
    parameters = {"lipman": {"sigma_min": 0.1}, "polynomial": {"n": 2.0}}.get(name, {})
    return REGISTRY.build(REGISTRY.spec("path", name, parameters))


def integrate(solver: str, velocity: CountedField, x_0: Tensor, times: Tensor = TIMES, **parameters: object) -> Tensor:
    return REGISTRY.build(REGISTRY.spec("solver", solver, parameters)).integrate(velocity, x_0, times)


def normal() -> Tensor:
    return torch.randn((20, 2), generator=Generator().manual_seed(1), dtype=torch.float64)


def bent(path: str) -> CountedField:
    """Return a field that no method follows exactly; every one made here draws the same noise."""
    return CountedField(lambda x, t: torch.sin(3 * x + t[:, None]), path_of(path))


def known_data(path: AffinePath) -> Field:
    """Return the velocity where all data are MEAN."""

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        alpha, sigma, d_alpha, d_sigma = (c[:, None] for c in path.coefficients(t))
        return d_alpha * MEAN + d_sigma * (x - alpha * MEAN) / sigma

    return velocity


class Rows:
    """Rows as above, for data of deviation `std`; `states[i]` is x where the velocity was asked for the i-th time."""

    def __init__(
        self, patch: pytest.MonkeyPatch, path: AffinePath, field: Field, times: Tensor = TIMES, std: float = STD
    ) -> None:
        self.times, self.std = times, std
        self.states: list[Tensor] = []
        self.patch = patch

        def kept(x: Tensor, t: Tensor) -> Tensor:
            self.states.append(x.clone())
            return field(x, t)

        self.velocity = CountedField(kept, path)

    def through(self, solver: str, **parameters: object) -> Tensor:
        drawn = count(2)

        def one(shape: torch.Size, **_: object) -> Tensor:
            noise = torch.zeros(shape, dtype=torch.float64)
            noise[next(drawn)] = 1
            return noise

        mean, std = marginal(self.velocity.path, self.times[:1], self.std)
        x_0 = torch.full((len(self.times) + 1, 1), mean, dtype=torch.float64)
        x_0[1] += std
        with self.patch.context() as context:
            context.setattr(torch, "randn", one)
            return integrate(solver, self.velocity, x_0, self.times, **parameters)


def marginal(path: AffinePath, t: Tensor, std: float) -> tuple[float, float]:
    """Return mean and deviation of x_t at `t` `(1,)`, for data of mean MEAN and deviation `std`."""
    alpha, sigma, *_ = path.gaussian(t)
    return float(alpha) * MEAN, float((alpha**2 * std**2 + sigma**2).sqrt())


def std_of(rows: Tensor) -> float:
    return float((rows[1:] - rows[0]).square().sum().sqrt())


def errors(patch: pytest.MonkeyPatch, solver: str, path: str, steps: tuple[int, ...], **parameters: object) -> Tensor:
    """Return what mean and deviation of the samples are wrong by, `(numbers of steps, 2)`."""
    affine, found = path_of(path), []
    for n in steps:
        rows = Rows(patch, affine, lambda x, t: GAUSSIAN.velocity(x, t, affine.gaussian), uniform_times(n))
        ends = rows.through(solver, **parameters)
        mean, std = marginal(affine, TIMES[-1:], STD)
        found.append([float(ends[0]) - mean, std_of(ends) - std])
    return torch.tensor(found).abs()


SAMPLERS = [
    *(("dpmpp_2m_sde", {"eta": eta}, path) for eta in (0.5, 1.0, 2.0) for path in PATHS),
    *(("euler_ancestral_rf", {"eta": eta}, "linear") for eta in (0.3, 1.0)),
    *(("stochastic_euler", {"diffusion": form}, path) for form in FORMS for path in PATHS),
    *(("stochastic_euler", {"diffusion": {form: 3.0}}, "linear") for form in FORMS),
]


@pytest.mark.parametrize(("solver", "parameters", "path"), SAMPLERS, ids=str)
def test_a_gaussians_marginals_hold_as_the_steps_shrink(
    solver: str, parameters: dict[str, object], path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = errors(monkeypatch, solver, path, (80, 320), **parameters)
    assert (after < torch.maximum(before / 2, torch.tensor(1e-9))).all()
    assert (after < 0.006).all()


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(
    ("solver", "path"),
    [("euler_ancestral_rf", "linear"), *(("dpmpp_2m_sde", path) for path in PATHS)],
)
def test_kept_and_fresh_noise_sum_to_sigma_squared(
    solver: str, path: str, eta: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the data are known every state is alpha x_1 + sigma x_0 with x_0 standard normal, exactly."""
    affine = path_of(path)
    sigma = affine.coefficients(TIMES)[1]
    rows = Rows(monkeypatch, affine, known_data(affine), std=0.0)
    rows.through(solver, eta=eta)
    for i in range(1, len(TIMES) - 1):
        assert std_of(rows.states[i]) == pytest.approx(float(sigma[i]), abs=1e-12)


@pytest.mark.parametrize("path", PATHS)
def test_dpmpp_2m_sde_without_noise_is_dpmpp_2m_to_the_bit(path: str) -> None:
    velocity = bent(path)
    before = velocity.generator.get_state()
    found = integrate("dpmpp_2m_sde", velocity, normal(), eta=0.0)
    assert torch.equal(found, integrate("dpmpp_2m", bent(path), normal()))
    assert torch.equal(velocity.generator.get_state(), before)


def test_dpmpp_2m_sde_at_first_order_is_ancestral() -> None:
    """From pure noise to pure data up to three steps are of first order, and all where the data are known."""
    for times in (TIMES[[0, 5]], TIMES[[0, 2, 5]], TIMES[[0, 2, 4, 5]]):
        found, expected = (
            integrate(solver, bent("linear"), normal(), times) for solver in ("dpmpp_2m_sde", "ancestral")
        )
        torch.testing.assert_close(found, expected, **CLOSE)
    found, expected = (integrate(solver, bent("linear"), normal()) for solver in ("dpmpp_2m_sde", "ancestral"))
    assert (found - expected).abs().max() > 0.01


@pytest.mark.parametrize("path", ["linear", "cosine", "lipman", "vp"])
def test_dpmpp_2m_sde_with_the_data_known_is_ancestral(path: str) -> None:
    affine = path_of(path)
    found, expected = (
        integrate(solver, CountedField(known_data(affine), affine), normal())
        for solver in ("dpmpp_2m_sde", "ancestral")
    )
    torch.testing.assert_close(found, expected, **CLOSE)


def test_dpmpp_2m_sde_gains_an_order_on_ancestral(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the deviation of a Gaussian's samples, on a path that leaves some noise at the data: four times the steps."""
    falls = {}
    for solver in ("ancestral", "dpmpp_2m_sde"):
        before, after = errors(monkeypatch, solver, "lipman", (80, 320), eta=1.0)[:, 1]
        falls[solver] = float(before / after)
    assert falls["ancestral"] == pytest.approx(4, rel=0.15)
    assert falls["dpmpp_2m_sde"] == pytest.approx(16, rel=0.15)


def test_euler_ancestral_rf_without_noise_is_euler() -> None:
    velocity = bent("linear")
    before = velocity.generator.get_state()
    found = integrate("euler_ancestral_rf", velocity, normal(), eta=0.0)
    torch.testing.assert_close(found, integrate("euler", bent("linear"), normal()), **CLOSE)
    assert torch.equal(velocity.generator.get_state(), before)
    nearly = integrate("euler_ancestral_rf", bent("linear"), normal(), eta=1e-12)
    torch.testing.assert_close(nearly, found, rtol=0, atol=1e-5)


@pytest.mark.parametrize("solver", ["euler_ancestral_rf", "dpmpp_2m_sde"])
def test_the_last_step_is_the_predicted_data(solver: str) -> None:
    asked: list[tuple[Tensor, Tensor]] = []

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        v = torch.sin(3 * x + t[:, None])
        asked.append((x + (1 - t[:, None]) * v, x))
        return v

    found = integrate(solver, CountedField(velocity, path_of("linear")), normal())
    torch.testing.assert_close(found, asked[-1][0], **CLOSE)
    assert (found - asked[-1][1]).abs().max() > 0.1


AT_THE_MIDDLE = {
    "constant": 1.0,
    "sbdm": torch.pi,
    "sigma": 0.5**0.5,
    "linear": 0.5,
    "decreasing": 0.25,
    "increasing_decreasing": 1.0,
}
"""w at t = 1/2 on the cosine path, where alpha = sigma = sqrt(1/2) and their rates are pi/2 of it, up to the sign."""


@pytest.mark.parametrize("factor", [None, 0.5])
@pytest.mark.parametrize("form", FORMS)
def test_the_noise_of_a_step_is_w_h(form: str, factor: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    affine = path_of("cosine")
    times = torch.tensor([0.5, 0.51, 1.0], dtype=torch.float64)
    rows = Rows(monkeypatch, affine, lambda x, t: GAUSSIAN.velocity(x, t, affine.gaussian), times)
    rows.through("stochastic_euler", diffusion=form if factor is None else {form: factor})
    drawn = float((rows.states[1][2] - rows.states[1][0]).square())
    assert drawn == pytest.approx(AT_THE_MIDDLE[form] * (1 if factor is None else factor) * 0.01, rel=1e-9)


@pytest.mark.parametrize("path", ["linear", "cosine", "vp"])
def test_sbdm_is_the_noise_that_ancestral_sampling_draws(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a short step: both reverse the Markov chain by which diffusion adds noise."""
    affine = path_of(path)
    times = torch.tensor([0.3, 0.3 + 1e-6, 1.0], dtype=torch.float64)
    drawn = []
    for solver, parameters in (("stochastic_euler", {"diffusion": "sbdm"}), ("ancestral", {"eta": 1.0})):
        rows = Rows(monkeypatch, affine, lambda x, t: GAUSSIAN.velocity(x, t, affine.gaussian), times)
        rows.through(solver, **parameters)
        drawn.append(float(rows.states[1][2] - rows.states[1][0]))
    assert drawn[0] == pytest.approx(drawn[1], rel=1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_every_diffusion_changes_the_samples_and_none_leaves_eulers(form: str) -> None:
    euler = integrate("euler", bent("linear"), normal())
    with_noise = integrate("stochastic_euler", bent("linear"), normal(), diffusion=form)
    assert (with_noise - euler).abs().mean() > 0.05
    without = integrate("stochastic_euler", bent("linear"), normal(), diffusion={form: 0.0})
    torch.testing.assert_close(without, euler, **CLOSE)


def test_a_number_is_a_factor_of_sigma_to_the_bit() -> None:
    for number, named in ((1.0, "sigma"), (0.3, {"sigma": 0.3})):
        found, expected = (
            integrate("stochastic_euler", bent("cosine"), normal(), diffusion=diffusion)
            for diffusion in (number, named)
        )
        assert torch.equal(found, expected)
    assert REGISTRY.spec("solver", "stochastic_euler").text == canonical(
        ["solver", "stochastic_euler", {"diffusion": 1.0}]
    )


def test_a_diffusion_that_is_none_is_refused() -> None:
    for wrong in ("SBDM", -1.0, {"sigma": -1.0}, {"sigma": 1.0, "linear": 1.0}, {}):
        with pytest.raises(ComponentError, match="diffusion"):
            REGISTRY.spec("solver", "stochastic_euler", {"diffusion": wrong})


def test_steps_where_w_over_sigma_is_infinite_are_eulers(monkeypatch: pytest.MonkeyPatch) -> None:
    affine = path_of("linear")
    rows = Rows(monkeypatch, affine, known_data(affine), std=0.0)
    ends = rows.through("stochastic_euler", diffusion="constant")
    torch.testing.assert_close(ends, torch.full_like(ends, MEAN), **CLOSE)
    rows = Rows(monkeypatch, affine, known_data(affine), std=0.0)
    rows.through("stochastic_euler", diffusion="sbdm")
    after_one_step = rows.states[0] + TIMES[1] * (MEAN - rows.states[0])
    torch.testing.assert_close(rows.states[1], after_one_step, **CLOSE)


@pytest.mark.parametrize("form", FORMS)
def test_only_constant_runs_away_from_the_path_to_a_point(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The deviation of the last state before the data, in units of sigma."""
    affine, found = path_of("linear"), []
    for steps in (20, 80):
        rows = Rows(monkeypatch, affine, known_data(affine), uniform_times(steps), std=0.0)
        rows.through("stochastic_euler", diffusion=form)
        found.append(std_of(rows.states[-1]) * steps)
    if form == "constant":
        assert found[1] > 10 * found[0] > 50
    else:
        assert 1 <= found[1] < 1.001 * found[0] < 2.5
