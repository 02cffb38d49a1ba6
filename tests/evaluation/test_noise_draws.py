"""Several draws of a cell's samples: whose spread it is, that the score stays, and what counts in keys."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import SMOKE, context, evaluation_cell, training_cell

from fmbench.cells.cells import EvaluationCell, TrainingCell
from fmbench.cells.component_spec import Settings
from fmbench.evaluation.evaluate import evaluate
from fmbench.evaluation.sampling import draw_samples
from fmbench.model.context import WorkerContext
from fmbench.model.trained_model import load_trained
from fmbench.plan import make_plan
from fmbench.plan.reference_cells import References
from fmbench.plugins.registry import Registry
from fmbench.report.result_table import make_result_tables
from fmbench.report.tables.standard_tables import by_nfe
from fmbench.runner.run import Options, run
from fmbench.suite import read_suite
from fmbench.training.loop import train

METRICS = ("sliced_wasserstein", "class_wasserstein", "nfe", "solver_error")


@pytest.fixture(scope="module")
def shop(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> WorkerContext:
    return context(tmp_path_factory.mktemp("noise_draws"), registry)


@pytest.fixture(scope="module")
def trained(registry: Registry, shop: WorkerContext) -> TrainingCell:
    """A trained cell whose network is told the class."""
    cell = training_cell(registry, settings={"class_conditional": True})
    train([cell], shop)
    return cell


def drawn(cell: EvaluationCell, draws: int, samples: int = 300) -> EvaluationCell:
    return replace(cell, settings=Settings({"samples": samples, "noise_draws": draws}))


def scores(shop: WorkerContext, cell: EvaluationCell, metrics: tuple[str, ...] = METRICS) -> dict[str, dict[str, Any]]:
    """Return what the store holds of metrics after an evaluation, by name."""
    specs = {name: shop.registry.spec("metric", name) for name in metrics}
    evaluate(load_trained(cell.training, shop), cell, list(specs.values()))
    found = shop.store.folder("evaluation", cell.key).metrics()
    return {name: found[spec.digest] for name, spec in specs.items()}


@pytest.mark.parametrize("solver", ["euler", "ancestral"])
def test_the_spread_is_that_of_the_scores_of_draws(
    registry: Registry, shop: WorkerContext, trained: TrainingCell, solver: str
) -> None:
    """300 samples take two blocks of source samples, so that the draws begin at 0, 512 and 1024."""
    cell = evaluation_cell(registry, trained, solver)
    plain, several = scores(shop, cell), scores(shop, drawn(cell, 3))
    assert [each["values"].get("sliced_wasserstein_noise_sd") for each in plain.values()] == [None] * len(METRICS)
    for name in METRICS:
        assert several[name]["values"].get(name) == plain[name]["values"].get(name), "the score is that of the first"
        assert several[name]["identity"] == plain[name]["identity"]
    assert list(several["nfe"]["values"]) == ["nfe"]
    assert "solver_error_noise_sd" not in several["solver_error"]["values"]
    model = load_trained(trained, shop)
    metric = registry.build(registry.spec("metric", "sliced_wasserstein"))
    found = []
    for start in (0, 512, 1024):
        velocity = model.velocity()
        samples = draw_samples(model, cell, velocity, 0, start)
        evidence = replace(model.evidence(velocity), samples=samples.samples, labels=samples.labels)
        found.append(metric.compute(evidence)["sliced_wasserstein"])  # type: ignore[attr-defined]
    assert len(set(found)) == 3
    values = several["sliced_wasserstein"]["values"]
    assert values["sliced_wasserstein"] == pytest.approx(found[0])
    assert values["sliced_wasserstein_noise_sd"] == pytest.approx(statistics.stdev(found))
    assert several["class_wasserstein"]["values"]["class_wasserstein_noise_sd"] > 0


def test_the_spread_of_a_mean_falls_with_the_root_of_the_samples(
    registry: Registry, shop: WorkerContext, trained: TrainingCell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a score that is a mean over samples, by the deviation of one of them: a known answer."""
    metric = type(registry.build(registry.spec("metric", "sliced_wasserstein")))
    seen: list[torch.Tensor] = []

    def mean(self: Any, evidence: Any) -> dict[str, float]:
        seen.append(evidence.samples[:, 0])
        return {"sliced_wasserstein": float(evidence.samples[:, 0].mean())}

    monkeypatch.setattr(metric, "compute", mean)
    cell = evaluation_cell(registry, trained, "heun", 8)
    values = scores(shop, drawn(cell, 40, 256), ("sliced_wasserstein",))["sliced_wasserstein"]["values"]
    expected = float(torch.cat(seen).std()) / math.sqrt(256)
    assert values["sliced_wasserstein_noise_sd"] == pytest.approx(expected, rel=0.35)


def test_a_metric_that_fails_for_a_draw_has_failed(
    registry: Registry, shop: WorkerContext, trained: TrainingCell, monkeypatch: pytest.MonkeyPatch
) -> None:
    metric, calls = type(registry.build(registry.spec("metric", "sliced_wasserstein"))), []

    def second_fails(self: Any, evidence: Any) -> dict[str, float]:
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("no score")
        return {"sliced_wasserstein": 1.0}

    monkeypatch.setattr(metric, "compute", second_fails)
    cell = drawn(evaluation_cell(registry, trained, "midpoint"), 4)
    entry = scores(shop, cell, ("sliced_wasserstein",))["sliced_wasserstein"]
    assert entry["values"] == {}
    assert "no score" in entry["error"]
    assert len(calls) == 2


def test_one_draw_leaves_keys_as_they_are_and_more_leave_those_of_floors(registry: Registry) -> None:
    suites = [SMOKE, SMOKE.replace("samples: 50", "samples: 50, noise_draws: 1")]
    suites.append(SMOKE.replace("samples: 50", "samples: 50, noise_draws: 2"))
    plans = [make_plan(read_suite(text, "suite.yaml"), registry) for text in suites]
    keys = [{cell.key for cell in plan.evaluations} for plan in plans]
    assert keys[0] == keys[1]
    assert not keys[0] & keys[2]
    floors = [{cell.key for cell in References(plan, registry).cells} for plan in plans]
    assert floors[0] == floors[2]


@pytest.mark.usefixtures("undrawn")
def test_a_table_has_the_spread_beside_the_score(tmp_path: Path) -> None:
    suite = tmp_path / "suite.yaml"
    suite.write_text(SMOKE.replace("samples: 50", "samples: 50, noise_draws: 3"))
    options = Options(home=tmp_path / "home", reports=tmp_path / "reports", tracking=False)
    records = run(suite, options).records
    assert all(r.metrics["sliced_wasserstein_noise_sd"] > 0 for r in records.evaluations)
    (result_table,) = make_result_tables(records)
    spread = next(each for each in result_table.metrics if each.name == "sliced_wasserstein_noise_sd")
    assert by_nfe(result_table, spread, lambda row: "") is not None
    assert result_table.headline is not None
    assert result_table.headline.name == "sliced_wasserstein"
