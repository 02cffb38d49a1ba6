"""The solver's error: closed forms, orders as slopes, what it is measured against, and what it costs a suite."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from helpers import SETTINGS, context, evaluation_cell, training_cell
from torch import Tensor

from fmbench import Dataset, Evidence, Mixture
from fmbench.cells.cells import EvaluationCell, TrainingCell
from fmbench.errors import Diverged, NotDefined
from fmbench.evaluation.evaluate import evaluate
from fmbench.model.context import WorkerContext
from fmbench.model.trained_model import Trained, load_trained
from fmbench.plugins.registry import Registry, load_registry
from fmbench.testing import make_evidence
from fmbench.testing.dummy_components import CountedField, TwoBlobs
from fmbench.training.loop import train
from fmbench_datasets.gaussian_mixture import GaussianMixture
from fmbench_metrics.solver_error import SolverError, flow_ends

REGISTRY = load_registry()
SOURCE = torch.randn(300, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def build(kind: str, name: str, **parameters: Any) -> Any:
    return REGISTRY.build(REGISTRY.spec(kind, name, parameters))


def growth(x: Tensor, t: Tensor) -> Tensor:
    """Return the velocity whose flow multiplies by e."""
    return x


def bent(x: Tensor, t: Tensor) -> Tensor:
    """Return a smooth velocity that mixes the dimensions and changes with t."""
    return torch.sin(2 * x.flip(1) + 3 * t[:, None]) + t[:, None] * x


def with_samples(field: Any, samples: Tensor, source: Tensor = SOURCE, dataset: Dataset | None = None) -> Evidence:
    """Return evidence of samples that are made of a source by integrating a field."""
    evidence = make_evidence(dataset or TwoBlobs(), samples)
    evidence.velocity = CountedField(field, evidence.path)
    evidence.source = lambda n: source[:n]
    return evidence


def error_of(solver: str, steps: int, field: Any = bent, **parameters: Any) -> float:
    times = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    samples = build("solver", solver).integrate(CountedField(field), SOURCE, times)
    return SolverError(**parameters).compute(with_samples(field, samples))["solver_error"]


@pytest.mark.parametrize("steps", [1, 2, 10])
def test_eulers_error_on_exponential_growth_is_the_closed_form(steps: int) -> None:
    spread = float(SOURCE[:256].square().mean().sqrt())
    expected = (math.e - (1 + 1 / steps) ** steps) * spread
    assert error_of("euler", steps, growth) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("solver", "order", "steps"),
    [("euler", 1, 64), ("midpoint", 2, 32), ("heun", 2, 32), ("ab2", 2, 64), ("rk4", 4, 12)],
)
def test_its_slope_over_nfe_is_minus_the_solvers_order(solver: str, order: int, steps: int) -> None:
    slope = math.log2(error_of(solver, steps) / error_of(solver, 2 * steps))
    assert slope == pytest.approx(order, abs=0.15)


def test_samples_of_the_flow_itself_have_no_error() -> None:
    values = SolverError().compute(with_samples(growth, math.e * SOURCE))
    assert values["solver_error"] < 1e-7
    assert values["solver_error"] <= values["solver_error_reference"] < 1e-6


def test_it_is_the_root_mean_square_over_samples_and_dimensions() -> None:
    moved = math.e * SOURCE + torch.tensor([0.3, -0.4], dtype=torch.float64)
    assert SolverError().compute(with_samples(growth, moved))["solver_error"] == pytest.approx(0.5 / math.sqrt(2))


def test_only_the_first_samples_are_compared() -> None:
    samples = math.e * SOURCE
    samples[100:] += 1
    assert SolverError(samples=100).compute(with_samples(growth, samples))["solver_error"] < 1e-6
    assert SolverError(samples=101).compute(with_samples(growth, samples))["solver_error"] > 0.05
    assert SolverError(samples=100).identity(with_samples(growth, samples))["samples_n"] == 100
    assert SolverError(samples=1000).identity(with_samples(growth, samples))["samples_n"] == 300


def test_what_the_ends_may_be_off_bounds_what_they_are_off() -> None:
    """Against 64 times the steps, for a field on which a few steps are not enough."""
    exact = flow_ends(CountedField(bent), SOURCE, 512)
    for steps in (8, 16, 32):
        values = SolverError(samples=300, steps=steps).compute(with_samples(bent, exact))
        assert 0 < values["solver_error"] < values["solver_error_reference"] / 4


@pytest.mark.parametrize("objective", ["x1_prediction", "noise_prediction"])
def test_clipped_poles_at_the_ends_cost_far_less_than_by_equal_steps_in_t(objective: str) -> None:
    """Of a network that predicts one end of the path exactly, for data that are nearly three points."""
    wide, path, converted = GaussianMixture(size=100).mixture(), build("path", "linear"), build("objective", objective)
    mixture = Mixture(wide.weights, wide.means, 1e-4 * wide.covariances)

    def field(x: Tensor, t: Tensor) -> Tensor:
        alpha_t, sigma_t, *_ = path.coefficients(t)
        posterior = mixture.posterior(x, alpha_t, sigma_t)
        predicted = posterior.mean_x_1 if objective == "x1_prediction" else posterior.mean_x_0
        return converted.velocity(predicted, x, t, path)

    x_0, velocity = SOURCE[:50], CountedField(field)
    exact = flow_ends(velocity, x_0, 2048)
    in_t = build("solver", "rk4").integrate(velocity, x_0, torch.linspace(0, 1, 129, dtype=torch.float64))
    off_in_t, off_in_s = (float((x - exact).square().mean().sqrt()) for x in (in_t, flow_ends(velocity, x_0, 128)))
    assert off_in_s < off_in_t / 5
    assert off_in_s < 2e-5


def test_a_velocity_without_a_value_at_the_ends_has_its_flow() -> None:
    """Straight lines to one point, dx/dt = (x_1 - x)/(1 - t), which is 0/0 at t=1; made so at t=0, too."""
    target = torch.tensor([3.0, 1.0], dtype=torch.float64)

    def field(x: Tensor, t: Tensor) -> Tensor:
        return (target - x) / (1 - t)[:, None] * (t / t)[:, None]

    assert torch.allclose(flow_ends(CountedField(field), SOURCE, 128), target.expand_as(SOURCE), atol=1e-3)


def test_ends_that_are_not_finite_are_told() -> None:
    with pytest.raises(Diverged, match="takes 256 of 256 source samples to values that are not finite"):
        SolverError().compute(with_samples(lambda x, t: x / 0, SOURCE))


def test_each_sample_is_followed_under_its_own_label() -> None:
    """In more than one batch, with velocities that are the labels."""
    evidence = make_evidence(TwoBlobs())
    n, y = 600, torch.arange(600) % 2
    source = torch.zeros(n, 2)

    class ByLabel(CountedField):
        def __call__(self, x: Tensor, t: Tensor) -> Tensor:
            assert self.y is not None
            return self.y[:, None].to(x).expand_as(x)

    evidence.velocity, evidence.classes, evidence.labels = ByLabel(growth, evidence.path), 2, y
    evidence.source, evidence.samples = (lambda k: source[:k]), y[:, None].float().expand(n, 2)
    evidence.velocity.y = mine = torch.zeros(1, dtype=torch.int64)
    assert SolverError(samples=n).compute(evidence)["solver_error"] < 1e-6
    assert evidence.velocity.y is mine


def test_a_solver_that_draws_noise_is_left_out() -> None:
    evidence = with_samples(growth, SOURCE)
    evidence.source = None
    with pytest.raises(NotDefined, match="draws noise"):
        SolverError().compute(evidence)


def test_an_odd_number_of_steps_cannot_be_halved() -> None:
    with pytest.raises(ValueError, match="must be even; found 5"):
        SolverError(steps=5)


@pytest.fixture(scope="module")
def shop(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> WorkerContext:
    return context(tmp_path_factory.mktemp("solver_error"), registry)


@pytest.fixture(scope="module")
def cell(registry: Registry, shop: WorkerContext) -> TrainingCell:
    """A training cell whose network is told the class, or no class."""
    settings = {**SETTINGS, "steps": 150, "class_conditional": True}
    dataset = ("gaussian_mixture", {"size": 500})
    cell = training_cell(registry, settings=settings, dataset=dataset)
    train([cell], shop)
    return cell


def measured(trained: Trained, cell: EvaluationCell, metric: str = "solver_error", **parameters: Any) -> dict[str, Any]:
    """Return what the store holds of the metric, and of the cell's facts, after an evaluation."""
    spec = REGISTRY.spec("metric", metric, parameters)
    evaluate(trained, cell, [spec])
    folder = trained.context.store.folder("evaluation", cell.key)
    entry = folder.metrics()[spec.digest]
    facts = (folder.result() or {})["facts"]
    return {**entry, **entry["values"], "nfe": facts["nfe"]}


@pytest.mark.parametrize("metric", ["solver_error", "round_trip_error"])
@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("heun", 2)])
@pytest.mark.parametrize(("guidance", "weights"), [(1.0, "ema"), (3.0, "raw")])
def test_a_trained_networks_samplers_have_the_slope_of_their_order(
    registry: Registry,
    shop: WorkerContext,
    cell: TrainingCell,
    metric: str,
    solver: str,
    order: int,
    guidance: float,
    weights: Any,
) -> None:
    """Samples, noise, labels, guidance and weights are those of the cell, or the error would not fall."""
    trained = load_trained(cell, shop)
    a_step = registry.attribute(registry.spec("solver", solver), "nfe_per_step")
    values = []
    for steps in (32, 64):
        nfe = steps * a_step * (2 if guidance == 3.0 else 1)
        asked = replace(
            evaluation_cell(registry, cell, solver, steps * a_step), nfe=nfe, guidance=guidance, weights=weights
        )
        found = measured(trained, asked, metric)
        assert found["nfe"] == nfe
        assert found[f"{metric}_reference"] < found[metric] / 10
        values.append(found[metric])
    assert math.log2(values[0] / values[1]) == pytest.approx(order, abs=0.3)


def test_the_ends_are_found_once_for_each_guidance_and_weights(
    registry: Registry, shop: WorkerContext, cell: TrainingCell, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, ends = [], SolverError._ends
    monkeypatch.setattr(SolverError, "_ends", lambda self, *given: found.append(1) or ends(self, *given))
    trained, values = load_trained(cell, shop), {}
    # As a run asks: evaluations of the same weights one after the other.
    for weights, nfe, guidance in itertools.product(("ema", "raw"), (3, 5), (1.0, 0.0)):
        one = replace(evaluation_cell(registry, cell, "euler", nfe), guidance=guidance, weights=weights)
        values[nfe, guidance, weights] = measured(trained, one)["solver_error"]
    assert len(found) == 4
    assert len(set(values.values())) == len(values)
    trained.forget()
    measured(trained, evaluation_cell(registry, cell, "euler", 7))
    assert len(found) == 5
    alone = load_trained(cell, shop)
    assert measured(alone, evaluation_cell(registry, cell, "euler", 3), steps=126)["solver_error"] == pytest.approx(
        values[3, 1.0, "ema"], rel=1e-4
    )


@pytest.mark.parametrize("metric", ["solver_error", "round_trip_error"])
def test_stochastic_solvers_have_no_value_and_do_not_fail(
    registry: Registry, shop: WorkerContext, cell: TrainingCell, metric: str
) -> None:
    entry = measured(load_trained(cell, shop), evaluation_cell(registry, cell, "ancestral", 4), metric)
    assert (entry["values"], "error" in entry) == ({}, False)
    assert "draws noise of its own" in entry["left_out"]


@pytest.mark.parametrize("metric", ["solver_error", "round_trip_error"])
def test_adaptive_solvers_have_a_value_at_the_nfe_that_they_took(
    registry: Registry, shop: WorkerContext, cell: TrainingCell, metric: str
) -> None:
    adaptive = registry.spec("solver", "dopri5")
    asked = replace(evaluation_cell(registry, cell), solver=adaptive, grid=None, nfe=None, steps=None)
    entry = measured(load_trained(cell, shop), asked, metric)
    assert 0 < entry[metric] < 1e-2
    assert 6 < entry["nfe"] < 512
