"""Floors and oracles: what they measure, when a suite has them, and what a report makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import context, evaluation_cell, training_cell
from torch import Tensor

from fmbench.cells.component_spec import Settings
from fmbench.cells.reference_cell import ReferenceCell
from fmbench.evaluation.noise_floor import evidence_without_network, extrapolated, measure_floor, split_again
from fmbench.evaluation.oracle import Oracle, measure_oracle
from fmbench.evaluation.sampling import draw_samples
from fmbench.model.context import WorkerContext
from fmbench.model.trained_model import source_samples
from fmbench.plan import make_plan
from fmbench.plan.reference_cells import References
from fmbench.plugins.registry import Registry
from fmbench.report.analysis.error_decomposition import error_decompositions
from fmbench.report.analysis.floor_and_oracle import floor_of, oracle_of
from fmbench.report.figures.error_decomposition import error_decomposition_figure
from fmbench.report.output_folder import Folder
from fmbench.report.result_table import make_result_tables
from fmbench.runner.run import run
from fmbench.runner.session import Options
from fmbench.stats.paired_seeds import interval
from fmbench.suite import load_suite

SUITE = """
name: known
datasets: [{gaussian_mixture: {size: 4000}}]
training:
  paths: [linear, cosine]
  networks: [{mlp: {width: 16, depth: 1}}]
  seeds: [0, 1, 2]
  steps: 30
evaluation:
  solvers: [euler, heun]
  nfe: [4]
  samples: 300
  metrics: [sliced_wasserstein, nll, validation_loss]
"""


@pytest.fixture(scope="module")
def shop(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> WorkerContext:
    return context(tmp_path_factory.mktemp("references"), registry)


def floor(registry: Registry, dataset: tuple[str, dict[str, Any]], n: int, seed: int = 0) -> ReferenceCell:
    return ReferenceCell("floor", registry.spec("dataset", *dataset), seed, Settings({"samples": n}))


def measured(registry: Registry, shop: WorkerContext, cell: ReferenceCell, metric: str) -> dict[str, Any]:
    """Return what the store holds of a floor or an oracle after measuring it."""
    spec = registry.spec("metric", metric)
    (measure_floor if cell.section == "floor" else measure_oracle)(cell, [spec], shop)
    return dict(shop.store.folder(cell.section, cell.key).metrics()[spec.digest])


def oracle(registry: Registry, solver: str, nfe: int, path: str = "linear", n: int = 4000) -> ReferenceCell:
    training = training_cell(registry, dataset=("gaussian_mixture", {"size": 20_000}), path=path)
    cell = evaluation_cell(registry, training, solver, nfe, n)
    sampling = (training.path, cell.solver, cell.grid, cell.nfe, cell.steps)
    return ReferenceCell("oracle", training.dataset, 0, cell.settings, "", *sampling)


def test_a_floor_takes_what_the_metric_does_not_compare_with(registry: Registry, shop: WorkerContext) -> None:
    """sliced_wasserstein compares with the test split, so real data come from the other, in the seed's own order."""
    found = [
        measured(registry, shop, floor(registry, ("moons", {"size": 2000}), 400, s), "sliced_wasserstein")
        for s in (0, 1)
    ]
    assert all(entry["n"] == 400 and not entry["extrapolated"] for entry in found)
    assert found[0]["identity"]["samples_n"] == 400
    assert 0 < found[0]["values"]["sliced_wasserstein"] < 0.4
    assert found[0]["values"] != found[1]["values"]


def test_a_floor_falls_with_the_number_of_samples(registry: Registry, shop: WorkerContext) -> None:
    values = [
        measured(registry, shop, floor(registry, ("moons", {"size": 8000}), n), "sliced_wasserstein")["values"]
        for n in (50, 5000)
    ]
    assert values[1]["sliced_wasserstein"] < 0.5 * values[0]["sliced_wasserstein"]


def test_too_few_real_data_are_extrapolated_from(registry: Registry, shop: WorkerContext) -> None:
    """fid_digits compares with the training scans: the 360 others say what 2,000 would score, which is less."""
    more, fewer = (
        [measured(registry, shop, floor(registry, ("digits", {}), n, seed), "fid_digits") for seed in range(3)]
        for n in (2000, 360)
    )
    assert {(entry["n"], entry["extrapolated"]) for entry in more} == {(360, True)}
    assert {(entry["n"], entry["extrapolated"]) for entry in fewer} == {(360, False)}
    (low, high), (at_360, _) = (
        (min(values), max(values)) for values in ([e["values"]["fid_digits"] for e in each] for each in (more, fewer))
    )
    assert 0.0 < low < high < 0.5 < at_360 + 0.1
    assert more[0]["identity"]["reference"] == "split anew"


def test_the_floor_is_continuous_in_n(registry: Registry, shop: WorkerContext) -> None:
    """Nothing jumps where a split is used up: the test split has 360 scans."""
    means = []
    for n in (359, 360, 361):
        cells = [floor(registry, ("digits", {}), n, seed) for seed in range(3)]
        means.append(sum(measured(registry, shop, cell, "fid_digits")["values"]["fid_digits"] for cell in cells) / 3)
    assert max(means) < 1.5 * min(means)


def test_extrapolating_finds_a_known_floor() -> None:
    """What 360 Gaussian features and their parts extrapolate to is what 2,000 score, within a fifth."""
    from torch_fidelity.metric_fid import fid_statistics_to_metric

    random = np.random.default_rng(0)

    def statistics(n: int) -> dict[str, np.ndarray]:
        x = random.standard_normal((n, 16))
        return {"mu": x.mean(axis=0), "sigma": np.cov(x, rowvar=False)}

    def distances(n: int, times: int = 60) -> list[float]:
        pairs = ((statistics(n), statistics(1440)) for _ in range(times))
        return [float(next(iter(fid_statistics_to_metric(*pair, verbose=False).values()))) for pair in pairs]

    found = extrapolated({n: float(np.mean(distances(n))) for n in (360, 180)}, 2000)
    assert found == pytest.approx(float(np.mean(distances(2000))), rel=0.2)


def test_splitting_again_keeps_every_example_and_the_sizes(registry: Registry, shop: WorkerContext) -> None:
    evidence = evidence_without_network(floor(registry, ("digits", {}), 2000), shop)
    before = [evidence.real(split) for split in ("train", "test")]
    split_again(evidence, "train", torch.Generator().manual_seed(0))
    after = [evidence.real(split) for split in ("train", "test")]
    assert [len(x) for x, _ in after] == [len(x) for x, _ in before]
    pooled = [torch.cat([x.flatten(1) for x, _ in sets]) for sets in (before, after)]
    assert torch.equal(*(rows.unique(dim=0) for rows in pooled))
    assert not torch.equal(after[1][0], before[1][0])


def test_a_metric_that_needs_more_than_there_is_says_so(registry: Registry, shop: WorkerContext) -> None:
    entry = measured(registry, shop, floor(registry, ("digits", {}), 2000), "kid_digits")
    assert not entry["values"]
    assert "error" not in entry
    assert "needs 1000 real examples" in entry["left_out"]
    assert "the test split has 360" in entry["left_out"]


@pytest.mark.parametrize("n", [7, 1000])
def test_extrapolating_what_is_linear_in_one_over_n_is_exact(n: int) -> None:
    values = {size: 3.0 + 50.0 / size for size in (100, 200, 400)}
    assert extrapolated(values, n) == pytest.approx(3.0 + 50.0 / n)


def test_an_oracle_has_no_network_error(registry: Registry, shop: WorkerContext) -> None:
    """With many steps the exact velocity leaves what real data score; with few, Euler's error on top, of order 1."""
    few, more, many = (
        measured(registry, shop, oracle(registry, "euler", nfe), "sliced_wasserstein")["values"]["sliced_wasserstein"]
        for nfe in (4, 8, 128)
    )
    real = measured(registry, shop, floor(registry, ("gaussian_mixture", {"size": 20_000}), 4000), "sliced_wasserstein")
    assert few > 1.5 * more > 1.5 * many
    assert many < real["values"]["sliced_wasserstein"] + 0.1


def test_an_oracle_starts_where_the_cells_of_its_seed_start(registry: Registry, shop: WorkerContext) -> None:
    cell = oracle(registry, "euler", 4, n=300)
    model = Oracle(cell, shop)
    first = source_samples(shop, cell.dataset, cell.seed, 0, 300, "evaluation_noise")
    assert torch.equal(model.source(0, 300), first)
    with torch.no_grad():
        drawn = draw_samples(model, cell, model.velocity())
    assert (drawn.nfe, drawn.labels) == (4, None)

    def exact(x: Tensor, t: float) -> Tensor:
        return model.mixture.velocity(
            x.double(), torch.full((len(x),), t, dtype=torch.float64), model.path.gaussian
        ).float()

    by_hand = first
    for step in range(4):
        by_hand = by_hand + 0.25 * exact(by_hand, 0.25 * step)
    assert torch.allclose(drawn.samples, by_hand, atol=1e-5)


def planned(tmp_path: Path, registry: Registry, text: str = SUITE) -> References:
    suite = tmp_path / "suite.yaml"
    suite.write_text(text)
    return References(make_plan(load_suite(suite), registry), registry)


def test_which_references_a_plan_has(tmp_path: Path, registry: Registry) -> None:
    found = planned(tmp_path, registry)
    assert len(found.floors) == 3
    assert len(found.oracles) == 2 * 2 * 3
    names = [[spec.name for spec in found.metrics(cell)] for cell in (found.floors[0], found.oracles[0])]
    assert names == [["sliced_wasserstein"]] * 2


@pytest.mark.parametrize(
    ("change", "floors", "oracles"),
    [
        (("samples: 300", "samples: 300\n  oracle: false"), 3, 0),
        (("samples: 300", "samples: 300\n  floor: false"), 0, 12),
        (("sliced_wasserstein, nll", "nll"), 0, 0),
        (("{gaussian_mixture: {size: 4000}}", "moons"), 3, 0),
        (("seeds: [0", "couplings: [independent, minibatch_ot]\n  seeds: [0"), 3, 12),
        (("seeds: [0", "couplings: [minibatch_ot]\n  seeds: [0"), 3, 0),
    ],
    ids=[
        "oracle off",
        "floor off",
        "no metric of samples",
        "no known mixture",
        "also another coupling",
        "only another",
    ],
)
def test_what_takes_references_away(
    tmp_path: Path, registry: Registry, change: tuple[str, str], floors: int, oracles: int
) -> None:
    text = SUITE.replace(*change)
    if "moons" in text:
        text = text.replace("nll, ", "")
    found = planned(tmp_path, registry, text)
    assert (len(found.floors), len(found.oracles)) == (floors, oracles)


def test_a_run_splits_the_distance(tmp_path: Path) -> None:
    """The parts add up seed by seed, the trainings of a path share their oracle, and nothing is computed twice."""
    suite = tmp_path / "suite.yaml"
    suite.write_text(SUITE.replace("nll", "{normalized_path_energy: {points: 60, steps: 2}}"))
    options = Options(home=tmp_path / "home", reports=tmp_path / "reports", tracking=False)
    result = run(suite, options)
    assert (result.computed["floor"], result.computed["oracle"]) == (3, 12)
    (result_table,) = make_result_tables(result.records)
    assert result_table.headline is not None
    found, real = error_decompositions(result_table)
    assert real is not None
    assert (real.n, real.label) == (300, "real data")
    assert len(found) == 4
    for (row, nfe), split in found.items():
        assert split.floor.mean + split.solver.mean + split.network.mean == pytest.approx(split.total.mean)
        values = oracle_of(result_table, row, nfe, result_table.headline)
        assert values is not None
        assert interval(list(values.by_seed.values())).mean == pytest.approx(split.oracle.mean)
    text = (tmp_path / "reports" / "known" / "table.md").read_text()
    assert "| real data |" in text
    assert "from the network or from the solver?" in text
    (facts,) = (facts for facts in result_table.scope("training") if facts.name == "normalized_path_energy")
    own, _ = floor_of(result_table, facts)
    assert own is not None
    said = {r.cell.seed: r.metrics["normalized_path_energy_floor"] for r in result.records.trainings}
    assert own.values.by_seed == pytest.approx(said)
    assert len(set(said.values())) == 3
    training = text.replace("\\", "").partition(": training")[2]
    assert "| a perfect model | " in training
    assert "| normalized_path_energy | normalized_path_energy_energy |" in training
    assert "| normalized_path_energy_floor |" not in training
    assert error_decomposition_figure(result_table, Folder(tmp_path / "drawn"), "network_or_solver") is not None
    assert (tmp_path / "drawn" / "network_or_solver.png").exists()
    assert (tmp_path / "reports" / "known" / "references.csv").read_text().count("\noracle,") == 12
    assert run(suite, options).computed == {}


def test_real_data_that_were_scored_otherwise_are_no_floor(tmp_path: Path) -> None:
    suite = tmp_path / "suite.yaml"
    suite.write_text(SUITE.replace("nll, ", "").replace("[0, 1, 2]", "[0]").replace("[linear, cosine]", "[linear]"))
    records = run(suite, Options(home=tmp_path / "home", reports=tmp_path / "reports", tracking=False)).records
    (result_table,) = make_result_tables(records)
    assert result_table.headline is not None
    assert floor_of(result_table, result_table.headline)[0] is not None
    for record in records.references:
        record.identities["sliced_wasserstein"]["projections"] = 7  # type: ignore[index]
    found, why = floor_of(result_table, result_table.headline)
    assert found is None
    assert "projections is" in why
