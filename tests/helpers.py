"""Small cells and stores that several tests need."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from fmbench.cells.cells import EvaluationCell, TrainingCell
from fmbench.cells.component_spec import Settings
from fmbench.model.context import WorkerContext
from fmbench.plugins.registry import Registry, load_registry
from fmbench.store.store import Store


@cache
def built_ins() -> Registry:
    """Return the registry of the built-in components, which a process reads once."""
    return load_registry()


SETTINGS: dict[str, Any] = {
    "steps": 60,
    "batch_size": 64,
    "optimizer": {"name": "adamw", "lr": 2e-3, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.01},
    "schedule": {"name": "constant", "warmup": 0},
    "gradient_clip": None,
    "ema": 0.9,
    "precision": "float32",
    "class_conditional": False,
    "label_dropout": 0.1,
}


def training_cell(
    registry: Registry, seed: int = 0, settings: dict[str, Any] | None = None, **names: Any
) -> TrainingCell:
    """Return a cell on moons with a tiny network; `names` replace components: a name, or (name, parameters)."""
    usual: dict[str, Any] = {
        "dataset": ("moons", {"size": 500}),
        "path": "linear",
        "coupling": "independent",
        "t_distribution": "uniform",
        "objective": "velocity",
        "network": ("mlp", {"width": 16, "depth": 1}),
    }
    specs: dict[str, Any] = {}
    for kind, chosen in {**usual, **names}.items():
        name, parameters = (chosen, {}) if isinstance(chosen, str) else chosen
        specs[kind] = registry.spec(kind, name, parameters)
    return TrainingCell(**specs, seed=seed, settings=Settings({**SETTINGS, **(settings or {})}))


def evaluation_cell(
    registry: Registry, training: TrainingCell, solver: str = "euler", nfe: int = 4, samples: int = 300
) -> EvaluationCell:
    """Return an evaluation of a cell on the uniform grid, for a solver of one call a step."""
    spec, grid = registry.spec("solver", solver), registry.spec("grid", "uniform")
    steps = nfe // registry.attribute(spec, "nfe_per_step")
    return EvaluationCell(training, spec, grid, nfe, steps, 1.0, "ema", Settings({"samples": samples}))


def context(folder: Path, registry: Registry | None = None, **options: Any) -> WorkerContext:
    """Return a worker context with a store in a folder."""
    return WorkerContext(registry or built_ins(), Store(folder / "store"), **options)


SMOKE = """
name: tiny
datasets: [moons]
training:
  paths: [linear]
  networks: [{mlp: {width: 8, depth: 1}}]
  steps: 20
  batch_size: 16
  optimizer: {adam: {lr: 1e-3}}
evaluation: {solvers: [euler, heun], nfe: [1, 2], samples: 50, metrics: [sliced_wasserstein]}
"""
"""A suite that is run within seconds."""

TINY = """
name: tiny
datasets: [{moons: {size: 500}}]
training:
  paths: [linear]
  networks: [{mlp: {width: 8, depth: 1}}]
  seeds: [0, 1, 2]
  steps: 20
  batch_size: 16
  optimizer: {adam: {lr: 1e-3}}
evaluation: {solvers: [euler, mine], nfe: [2, 4], samples: 200, metrics: [sliced_wasserstein, validation_loss]}
"""
"""A suite of which nights are compared."""
