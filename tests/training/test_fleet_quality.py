"""In single precision, where roundings differ, fleets end with the metrics that trainings one by one end with."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean, stdev

from helpers import built_ins, context, evaluation_cell, training_cell

from fmbench.cells.cells import TrainingCell
from fmbench.evaluation.evaluate import evaluate
from fmbench.model.context import WorkerContext
from fmbench.model.trained_model import load_trained
from fmbench.plugins.registry import Registry
from fmbench.training.loop import train

SEEDS, STEPS = 10, 400


def distances(cells: list[TrainingCell], shop: WorkerContext, registry: Registry) -> list[float]:
    """Return the distance of each cell's samples at 4 Euler steps."""
    metric = registry.spec("metric", "sliced_wasserstein")
    found = []
    for cell in cells:
        evaluation = evaluation_cell(registry, cell, "euler", 4, 500)
        evaluate(load_trained(cell, shop), evaluation, [metric])
        stored = shop.store.folder("evaluation", evaluation.key).metrics()[metric.digest]
        found.append(stored["values"]["sliced_wasserstein"])
    return found


def test_final_metrics_have_the_distribution_of_trainings_one_by_one(tmp_path: Path) -> None:
    registry = built_ins()
    network = ("mlp", {"width": 32, "depth": 2})
    cells = [training_cell(registry, seed, {"steps": STEPS}, path="cosine", network=network) for seed in range(SEEDS)]
    together, alone = (context(tmp_path / name, registry) for name in ("together", "alone"))
    train(cells, together)
    for cell in cells:
        train([cell], alone)
    fleet, single = (distances(cells, shop, registry) for shop in (together, alone))
    spread = stdev(single)
    assert abs(fmean(fleet) - fmean(single)) < 0.1 * spread
    assert 0.9 < stdev(fleet) / spread < 1.1
    for mine, theirs in zip(fleet, single, strict=True):
        assert abs(mine - theirs) < 0.5 * spread
