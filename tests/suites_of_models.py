"""Small suites of models that exist already, which several tests run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from fmbench.runner.run import RunResult
from fmbench.runner.session import Options

MLP = {"mlp": {"width": 16, "depth": 1}}
EVALUATION = {
    "solvers": ["euler", "heun", "midpoint", "rk4", "dopri5"],
    "nfe": [4, 8, 16, 32],
    "samples": 300,
    "metrics": ["sliced_wasserstein", "validation_loss", "train_seconds"],
}
DATASETS = [{"moons": {"size": 500}}]


def options(folder: Path) -> Options:
    """Return options that keep everything in a folder."""
    return Options(home=folder / "store", reports=folder / "reports", tracking=False, jobs="1")


def written(folder: Path, **suite: Any) -> Path:
    """Write a suite and return its file."""
    file = folder / "suite.yaml"
    file.write_text(yaml.safe_dump({"name": "given", "datasets": DATASETS, "evaluation": EVALUATION, **suite}))
    return file


def scores(result: RunResult, metric: str = "sliced_wasserstein") -> dict[tuple[str, float], list[float]]:
    """Return the values of a metric by solver and NFE, -1 for an adaptive solver."""
    found: dict[tuple[str, float], list[float]] = {}
    for row in result.records.frame().itertuples():
        budget = -1.0 if row.nfe_budget is None or row.nfe_budget != row.nfe_budget else float(row.nfe_budget)
        found.setdefault((row.solver, budget), []).append(getattr(row, metric))
    return found
