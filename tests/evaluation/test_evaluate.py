"""Evaluation: shared noise, measured NFE, batch sizes that change nothing, diverged samples."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers import context, evaluation_cell, training_cell
from safetensors.torch import load_file, save

from fmbench.cells.cells import EvaluationCell, TrainingCell
from fmbench.cells.component_spec import ComponentSpec
from fmbench.components.contracts import Evidence, Metric
from fmbench.errors import DamagedFile, Diverged
from fmbench.evaluation import batch_size
from fmbench.evaluation.evaluate import evaluate
from fmbench.evaluation.metrics import compute_metrics
from fmbench.evaluation.sampler_timing import calls_of, measure_sampler
from fmbench.evaluation.sampling import draw_samples, larger_batch
from fmbench.model.context import WorkerContext
from fmbench.model.network_cost import count_cost
from fmbench.model.trained_model import in_turn, load_trained
from fmbench.model.velocity_cache import SharedCalls, SharingVelocity
from fmbench.plugins.registry import Registry
from fmbench.training.loop import train


@pytest.fixture(scope="module")
def shop(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> WorkerContext:
    return context(tmp_path_factory.mktemp("evaluate"), registry)


@pytest.fixture(scope="module")
def cell(registry: Registry, shop: WorkerContext) -> TrainingCell:
    cell = training_cell(registry)
    train([cell], shop)
    return cell


def samples_of(cell: EvaluationCell, shop: WorkerContext) -> torch.Tensor:
    trained = load_trained(cell.training, shop)
    with torch.no_grad():
        return draw_samples(trained, cell, trained.velocity(cell.guidance, cell.weights)).samples


@pytest.mark.parametrize(("solver", "nfe"), [("euler", 4), ("heun", 4), ("midpoint", 8), ("rk4", 8), ("ab2", 3)])
def test_the_measured_nfe_is_the_budget(
    registry: Registry, shop: WorkerContext, cell: TrainingCell, solver: str, nfe: int
) -> None:
    evaluation = evaluation_cell(registry, cell, solver, nfe)
    evaluate(load_trained(cell, shop), evaluation, [])
    result = shop.store.folder("evaluation", evaluation.key).result()
    assert result is not None
    assert result["facts"]["nfe"] == result["facts"]["nfe_min"] == result["facts"]["nfe_max"] == nfe


def test_an_adaptive_solver_reports_the_spread_of_its_nfe(
    registry: Registry, shop: WorkerContext, cell: TrainingCell
) -> None:
    dopri5 = registry.spec("solver", "dopri5")
    evaluation = replace(evaluation_cell(registry, cell), solver=dopri5, grid=None, nfe=None, steps=None)
    evaluate(load_trained(cell, shop), evaluation, [])
    facts = (shop.store.folder("evaluation", evaluation.key).result() or {})["facts"]
    assert 6 <= facts["nfe_min"] <= facts["nfe"] <= facts["nfe_max"]


def test_no_batch_size_changes_the_samples(registry: Registry, shop: WorkerContext, cell: TrainingCell) -> None:
    evaluation = evaluation_cell(registry, cell, samples=1000)
    samples = []
    for batch in (256, 512, 2048):
        shop.evaluation_batch = batch
        samples.append(samples_of(evaluation, shop))
    shop.evaluation_batch = None
    assert samples[0].shape == (1000, 2)
    torch.testing.assert_close(samples[0], samples[1], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(samples[0], samples[2], rtol=1e-5, atol=1e-5)


def test_any_slice_of_the_noise_is_the_same_noise(shop: WorkerContext, cell: TrainingCell) -> None:
    trained = load_trained(cell, shop)
    whole = trained.source(0, 1000)
    assert torch.equal(trained.source(256, 300), whole[256:556])
    assert torch.equal(trained.source(700, 7), whole[700:707])
    assert abs(whole.mean()) < 0.1
    assert abs(whole.std() - 1) < 0.1


def test_cells_of_a_seed_start_from_the_same_noise_and_seeds_do_not(registry: Registry, shop: WorkerContext) -> None:
    cells = [training_cell(registry, seed, path=path) for seed, path in ((0, "linear"), (0, "cosine"), (1, "linear"))]
    for each in cells:
        train([each], shop)
    noise = [load_trained(each, shop).source(0, 64) for each in cells]
    assert torch.equal(noise[0], noise[1])
    assert not torch.equal(noise[0], noise[2])


def test_metrics_are_kept_beside_the_cell_and_the_first_samples_too(
    registry: Registry, shop: WorkerContext, cell: TrainingCell
) -> None:
    evaluation = evaluation_cell(registry, cell, nfe=8)
    metric = registry.spec("metric", "sliced_wasserstein")
    evaluate(load_trained(cell, shop), evaluation, [metric])
    folder = shop.store.folder("evaluation", evaluation.key)
    stored = folder.metrics()[metric.digest]
    assert stored["values"]["sliced_wasserstein"] > 0
    assert stored["identity"]["version"] == 1
    kept = load_file(folder.path / "samples.safetensors")["samples"]
    assert torch.equal(kept, samples_of(evaluation, shop)[: len(kept)])


class Spoiling(Metric):
    """Changes in place what it looks at."""

    def __init__(self, what: str) -> None:
        self.what = what

    def compute(self, evidence: Evidence) -> dict[str, float]:
        (evidence.samples if self.what == "samples" else evidence.real("test")[0]).sub_(5.0)  # type: ignore[union-attr]
        return {"energy_distance": 1.0}


@pytest.mark.parametrize("what", ["samples", "real"])
def test_a_metric_that_spoils_its_evidence_fails_and_no_other_metric_is_given_it(
    registry: Registry, shop: WorkerContext, cell: TrainingCell, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    evaluations = [evaluation_cell(registry, cell, nfe=nfe) for nfe in (2, 3)]
    spoiling, metric = (registry.spec("metric", name) for name in ("energy_distance", "sliced_wasserstein"))
    expected = []
    for evaluation in evaluations:
        evaluate(load_trained(cell, shop), evaluation, [metric])
        folder = shop.store.folder("evaluation", evaluation.key)
        expected.append(folder.metrics()[metric.digest]["values"])
        folder.discard()
    monkeypatch.setitem(shop._built, spoiling.digest, Spoiling(what))
    for evaluation, values in zip(evaluations, expected, strict=True):
        evaluate(load_trained(cell, shop), evaluation, [spoiling, metric])
        folder = shop.store.folder("evaluation", evaluation.key)
        assert "in place" in folder.metrics()[spoiling.digest]["error"]
        after = folder.metrics()[metric.digest]
        if what == "real":
            assert after["values"] == values
        else:
            assert "energy_distance changed in place the samples" in after["error"]
            assert "fmbench retry" in after["error"]
        kept = load_file(folder.path / "samples.safetensors")["samples"]
        assert torch.equal(kept, samples_of(evaluation, shop)[: len(kept)])
        folder.discard()


def test_damaged_weights_are_never_used(registry: Registry, tmp_path: Path) -> None:
    shop = context(tmp_path, registry)
    cell = training_cell(registry)
    train([cell], shop)
    path = shop.store.folder("training", cell.key).path / "weights.safetensors"
    weights = load_file(path)
    path.write_bytes(save({name: value + 1 for name, value in weights.items()}))
    with pytest.raises(DamagedFile):
        load_trained(cell, shop)


def test_samples_that_are_not_finite_are_divergence(
    registry: Registry, shop: WorkerContext, cell: TrainingCell
) -> None:
    trained = load_trained(cell, shop)
    for parameter in trained.module.parameters():
        parameter.fill_(float("nan"))
    evaluation = evaluation_cell(registry, cell, nfe=2)
    with pytest.raises(Diverged, match="300 of 300 samples"):
        evaluate(trained, evaluation, [])
    assert shop.store.folder("evaluation", evaluation.key).result() is None


def test_guidance_mixes_the_two_velocities_and_costs_two_calls(registry: Registry, shop: WorkerContext) -> None:
    cell = training_cell(registry, dataset="digits", settings={"class_conditional": True, "steps": 3})
    train([cell], shop)
    trained = load_trained(cell, shop)
    x, t, y = torch.randn(5, 1, 8, 8), torch.full((5,), 0.5), torch.arange(5)
    velocities, calls = {}, {}
    for guidance in (0.0, 1.0, 3.0):
        field = trained.velocity(guidance)
        field.y = y
        velocities[guidance] = field(x, t)
        calls[guidance] = field.calls / 5
    assert calls == {0.0: 1, 1.0: 1, 3.0: 2}
    assert not torch.equal(velocities[0.0], velocities[1.0])
    torch.testing.assert_close(velocities[3.0], velocities[0.0] + 3 * (velocities[1.0] - velocities[0.0]))


def test_the_cost_of_a_sampler_is_measured(registry: Registry, shop: WorkerContext, cell: TrainingCell) -> None:
    metric = registry.spec("metric", "sample_ms", {"batch": 8, "repeats": 3, "warmup": 1})
    measure_sampler(load_trained(cell, shop), evaluation_cell(registry, cell), [metric], "key")
    folder = shop.store.folder("sampler", "key")
    assert folder.metrics()[metric.digest]["values"]["sample_ms"] > 0
    facts = (folder.result() or {})["facts"]
    assert facts["hardware"]
    assert facts["other_programs"] >= 0


def test_samplers_that_make_the_same_calls_are_known_by_it(
    registry: Registry, shop: WorkerContext, cell: TrainingCell
) -> None:
    """With one step Adams-Bashforth is Euler's method; with two, the second calls are alike, the results are not."""
    trained = load_trained(cell, shop)
    samplers = (("euler", 1), ("ab2", 1), ("euler", 2), ("ab2", 2), ("heun", 2))
    found = {name: calls_of(trained, evaluation_cell(registry, cell, *name)) for name in samplers}
    assert found["euler", 1] == found["ab2", 1]
    assert len(set(found.values())) == 4
    by_itself = registry.spec("guidance", "autoguidance", {"weight": 2.0, "model": {"network": "mlp"}})
    others = replace(evaluation_cell(registry, cell, "euler", 1), guidance=by_itself, weaker=cell)
    assert calls_of(trained, others) != found["euler", 1]


def test_weights_are_the_average_or_the_last(registry: Registry, shop: WorkerContext, cell: TrainingCell) -> None:
    saved = load_file(shop.store.folder("training", cell.key).path / "weights.safetensors")
    trained = load_trained(cell, shop)
    for weights in ("ema", "raw", "ema"):
        trained.velocity(weights=weights)  # type: ignore[arg-type]
        for name, value in trained.module.state_dict().items():
            assert torch.equal(value, saved[f"{weights}.{name}"])
    averaged = evaluation_cell(registry, cell)
    raw = replace(averaged, weights="raw")
    assert averaged.key != raw.key
    assert not torch.equal(samples_of(averaged, shop), samples_of(raw, shop))


@pytest.mark.parametrize("counts", [[100, 100, 100], [30, 50, 20], [1, 0, 3], [7]])
def test_labels_take_turns_in_the_data_s_shares(counts: list[int]) -> None:
    labels = in_turn(torch.tensor(counts), 1000)
    for label, count in enumerate(counts):
        for first in (10, 100, 1000):
            expected = first * count / sum(counts)
            assert abs(int((labels[:first] == label).sum()) - expected) <= 2
    assert torch.equal(in_turn(torch.tensor(counts), 137), labels[:137])
    if len(set(counts)) == 1:
        assert torch.equal(labels, torch.arange(1000) % len(counts))


SHARING = [("euler", 1), ("euler", 2), ("heun", 4), ("midpoint", 2), ("rk4", 4), ("ab2", 2), ("dopri5", None)]


def test_solvers_share_calls_and_not_one_bit_or_count_differs(
    registry: Registry, shop: WorkerContext, cell: TrainingCell
) -> None:
    trained = load_trained(cell, shop)
    made = []
    for solver, nfe in SHARING:
        evaluation = evaluation_cell(registry, cell, solver, nfe or 1)
        if nfe is None:
            evaluation = replace(evaluation, grid=None, nfe=None, steps=None)
        velocity = trained.velocity()
        sharing = trained.sharing(velocity, 1.0, "ema")
        with torch.no_grad():
            alone = draw_samples(trained, evaluation, trained.velocity())
            drawn = draw_samples(trained, evaluation, sharing)
        assert torch.equal(drawn.samples, alone.samples)
        assert drawn.calls == alone.calls
        made.append((sum(drawn.calls) - sharing.saved) // 300)
    # Euler's first call is everybody's; its second is Heun's, the midpoint method's, Runge-Kutta's and ab2's.
    assert made[:-1] == [1, 1, 2, 0, 2, 0]
    trained.forget()
    assert trained._shared == {}


def test_other_guidance_labels_and_weights_share_nothing(registry: Registry, tmp_path: Path) -> None:
    shop = context(tmp_path, registry)
    settings = {"class_conditional": True, "steps": 20}
    training = training_cell(registry, settings=settings, dataset=("moons", {"size": 200}))
    train([training], shop)
    trained = load_trained(training, shop)
    x, t = trained.source(0, 6), torch.zeros(6)
    found = {}
    for guidance, weights, labels in ((1.0, "ema", 0), (1.0, "ema", 1), (2.0, "ema", 0), (1.0, "raw", 0)):
        plain = trained.velocity(guidance, weights)
        sharing = trained.sharing(plain, guidance, weights)
        sharing.y = torch.full((6,), labels)
        found[guidance, weights, labels] = sharing(x, t)
        assert sharing.saved == 0
        sharing.y = torch.full((6,), labels)
        assert torch.equal(sharing(x, t), plain(x, t))
        assert sharing.saved == (12 if guidance == 2.0 else 6)
    values = list(found.values())
    assert not any(torch.equal(a, b) for i, a in enumerate(values) for b in values[:i])


def test_a_solver_that_overwrites_what_it_was_given_spoils_nothing_and_memory_is_bounded(
    registry: Registry, shop: WorkerContext, cell: TrainingCell
) -> None:
    trained = load_trained(cell, shop)
    x, t = trained.source(0, 8), torch.zeros(8)
    sharing = SharingVelocity(trained.velocity(), SharedCalls(2 * x.nbytes))
    first = sharing(x.clone(), t).clone()
    for _ in range(2):
        sharing.y = None  # a batch begins
        known = sharing(x, t)
        assert torch.equal(known, first)
        known.zero_()
    assert sharing.saved == 2 * 8
    for _ in range(2):
        sharing.y = None
        sharing(x + 1, t)
    assert sharing.saved == 2 * 8, "there was no room for a second state"
    assert sharing.calls == 5 * 8


@pytest.mark.parametrize("solver", ["heun", "ab2", "stochastic_euler", "dopri5"])
def test_a_larger_batch_changes_only_the_rounding_and_is_not_for_solvers_that_look_at_the_batch(
    registry: Registry, shop: WorkerContext, cell: TrainingCell, solver: str
) -> None:
    trained = load_trained(cell, shop)
    evaluation = evaluation_cell(registry, cell, "euler" if solver == "dopri5" else solver, 4, samples=1200)
    if solver == "dopri5":
        evaluation = replace(evaluation, solver=registry.spec("solver", solver), grid=None, nfe=None, steps=None)
    with torch.no_grad():
        usual = draw_samples(trained, evaluation, trained.velocity())
        larger = draw_samples(trained, evaluation, trained.velocity(), 700)
    if solver in ("heun", "ab2"):
        assert (usual.sizes, larger.sizes) == ([256, 256, 256, 256, 176], [256, 512, 432])
        torch.testing.assert_close(larger.samples, usual.samples, rtol=1e-5, atol=1e-5)
    else:
        assert larger.sizes == usual.sizes
        assert torch.equal(larger.samples, usual.samples)
    assert larger.nfe == usual.nfe


def test_the_batch_follows_from_the_network_and_a_suites_own_is_obeyed(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = context(tmp_path, registry)
    training = training_cell(registry, settings={"steps": 5})
    train([training], shop)
    trained = load_trained(training, shop)
    assert larger_batch(trained, evaluation_cell(registry, training, samples=3000)) == 2048, "twice that is not left"
    assert larger_batch(trained, evaluation_cell(registry, training, samples=90_000)) == batch_size.LARGEST
    monkeypatch.setattr(batch_size, "ELEMENTS", 600 * batch_size.elements_of(trained))
    assert larger_batch(trained, evaluation_cell(registry, training, samples=3000)) == 512
    assert larger_batch(trained, evaluation_cell(registry, training, samples=400)) == 0, "there is little left to draw"
    shop.evaluation_batch = 100
    assert larger_batch(trained, evaluation_cell(registry, training, samples=3000)) == 100


def test_counting_what_a_network_costs_leaves_it_alone(registry: Registry, tmp_path: Path) -> None:
    """A mlp of one hidden layer: two products with their sums, what makes features of time, and the activation."""
    shop = context(tmp_path, registry)
    training = training_cell(registry, settings={"steps": 5})
    train([training], shop)
    trained = load_trained(training, shop)
    random = torch.get_rng_state()
    inputs = [trained.source(0, 8), torch.linspace(0, 1, 8)]
    cost, doubled = (count_cost(trained.module, [torch.cat([x] * n) for x in inputs], "cpu") for n in (1, 2))
    assert trained.is_intact()
    assert torch.equal(random, torch.get_rng_state())
    assert cost.parameters == sum(p.numel() for p in trained.module.parameters())
    assert cost.flops == 2 * 8 * sum(layer.weight.numel() for layer in trained.module.modules() if is_linear(layer))
    assert (doubled.operations, doubled.flops, doubled.parameters) == (cost.operations, 2 * cost.flops, cost.parameters)
    assert cost.elements < doubled.elements <= 2 * cost.elements


def is_linear(module: torch.nn.Module) -> bool:
    return isinstance(module, torch.nn.Linear)


class Lost(Metric):
    """A metric whose values are given."""

    def __init__(self, **values: float) -> None:
        self.values = values

    def compute(self, evidence: Evidence) -> dict[str, float]:
        return self.values


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 1e999])
def test_a_value_that_is_not_finite_is_a_failure_with_its_reason(
    registry: Registry, shop: WorkerContext, cell: TrainingCell, value: float
) -> None:
    names = ("lost", "lost_part", "good")
    specs = {name: ComponentSpec("metric", name) for name in names}
    values = {"lost": {"lost": value}, "lost_part": {"lost_part": 1.0, "lost_part_2": value}, "good": {"good": 2.0}}
    for name, spec in specs.items():
        shop._built[spec.digest] = Lost(**values[name])
    trained = load_trained(cell, shop)
    found = compute_metrics(list(specs.values()), cell, trained.evidence(trained.velocity()), shop)
    for name, said in (("lost", f"lost = {value}"), ("lost_part", f"lost_part_2 = {value}")):
        entry = found[specs[name].digest]
        assert (entry["values"], entry["status"]) == ({}, "error")
        assert entry["error"] == f"metric {name}: its value is not finite: {said}"
    assert found[specs["good"].digest]["values"] == {"good": 2.0}
