"""Learning: on the moons, samples come closer to the data with training and with NFE, down to what real data score."""

from __future__ import annotations

from statistics import mean
from typing import Any

import pytest
import torch
from helpers import context, evaluation_cell, training_cell

from fmbench.components.contracts import Metric
from fmbench.evaluation.evaluate import evaluate
from fmbench.model.context import WorkerContext
from fmbench.model.trained_model import load_trained
from fmbench.plugins.registry import Registry
from fmbench.testing.evidence import make_evidence
from fmbench.training.loop import train

MOONS = ("moons", {"size": 8000})
SAMPLES = 2000
"""As many as the test split has."""

STEPS = (50, 500, 3000)
NFES = (1, 4, 16, 64)
SEED = 0
"""By hand it holds for seeds 0, 1 and 2: they end at 1.3 to 1.6 times the floor."""

SETTINGS: dict[str, Any] = {
    "batch_size": 256,
    "optimizer": {"name": "adam", "lr": 4e-3, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0},
    "schedule": {"name": "cosine", "warmup": 0, "final": 0.0},
    "ema": 0.99,
}


def distances(registry: Registry, shop: WorkerContext, steps: int) -> dict[int, float]:
    """Train a cell for so many steps on the linear path; return its samples' distance by NFE of Euler's method."""
    cell = training_cell(
        registry,
        SEED,
        dataset=MOONS,
        network=("mlp", {"width": 64, "depth": 3}),
        settings={**SETTINGS, "steps": steps},
    )
    train([cell], shop)
    metric = registry.spec("metric", "sliced_wasserstein")
    found = {}
    for nfe in NFES:
        evaluation = evaluation_cell(registry, cell, "euler", nfe, SAMPLES)
        evaluate(load_trained(cell, shop), evaluation, [metric])
        stored = shop.store.folder("evaluation", evaluation.key).metrics()[metric.digest]
        found[nfe] = stored["values"]["sliced_wasserstein"]
    return found


@pytest.fixture(scope="module")
def by_steps(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[int, float]]:
    """The distances of samples from the test split, by training steps, then by NFE."""
    shop = context(tmp_path_factory.mktemp("quality"), registry)
    return {steps: distances(registry, shop, steps) for steps in STEPS}


@pytest.fixture(scope="module")
def floor(registry: Registry) -> float:
    """The mean distance of as many points of the training split from the test split, over 20 draws."""
    dataset: Any = registry.build(registry.spec("dataset", *MOONS))
    metric = registry.build(registry.spec("metric", "sliced_wasserstein"))
    assert isinstance(metric, Metric)
    real = dataset.load("train")[0]
    assert len(dataset.load("test")[0]) == SAMPLES
    generator = torch.Generator().manual_seed(0)
    draws = [real[torch.randperm(len(real), generator=generator)[:SAMPLES]] for _ in range(20)]
    return mean(metric.compute(make_evidence(dataset, draw))["sliced_wasserstein"] for draw in draws)


def test_the_distance_falls_with_training(by_steps: dict[int, dict[int, float]]) -> None:
    little, some, much = (by_steps[steps][NFES[-1]] for steps in STEPS)
    assert little > 1.2 * some
    assert some > 1.2 * much


def test_the_distance_falls_with_nfe(by_steps: dict[int, dict[int, float]]) -> None:
    trained = by_steps[STEPS[-1]]
    assert [trained[nfe] for nfe in NFES] == sorted(trained.values(), reverse=True)
    assert trained[1] > 2 * trained[4] > 4 * trained[16]


def test_one_euler_step_gives_the_mean_however_long_trained(by_steps: dict[int, dict[int, float]]) -> None:
    # At t=0 the best velocity leads to the mean of the data: learning it better makes one step worse.
    assert by_steps[STEPS[-1]][1] > by_steps[STEPS[0]][1]


def test_it_ends_within_twice_the_floor_of_real_against_real(
    by_steps: dict[int, dict[int, float]], floor: float
) -> None:
    assert by_steps[STEPS[-1]][NFES[-1]] < 2 * floor
    assert by_steps[STEPS[0]][NFES[-1]] > 4 * floor
