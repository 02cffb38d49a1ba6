"""fmbench: which choice makes a flow-matching model good at few function evaluations, and how do you know?

The names below are the public face; everything else may change between versions. Importing fmbench imports neither
torch nor mlflow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fmbench.components.contracts import (
    AffinePath,
    Coupling,
    Dataset,
    Evidence,
    Grid,
    Metric,
    Network,
    Objective,
    Path,
    PathSample,
    ProbabilityPath,
    Solver,
    TDistribution,
    TrainingFacts,
    Velocity,
    expand,
)
from fmbench.components.hookspecs import Preset, hookimpl
from fmbench.errors import DataError, FmbenchError, UserError

if TYPE_CHECKING:
    from fmbench.components.gaussian_mixture import Mixture
    from fmbench.plan import make_plan
    from fmbench.runner.run import run
    from fmbench.suite import load_suite

__all__ = [
    "AffinePath",
    "Coupling",
    "DataError",
    "Dataset",
    "Evidence",
    "FmbenchError",
    "Grid",
    "Metric",
    "Mixture",
    "Network",
    "Objective",
    "Path",
    "PathSample",
    "Preset",
    "ProbabilityPath",
    "Solver",
    "TDistribution",
    "TrainingFacts",
    "UserError",
    "Velocity",
    "expand",
    "hookimpl",
    "load_suite",
    "make_plan",
    "run",
]

_LAZY = {
    "Mixture": "fmbench.components.gaussian_mixture",
    "load_suite": "fmbench.suite",
    "make_plan": "fmbench.plan",
    "run": "fmbench.runner.run",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        import importlib

        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'fmbench' has no attribute {name!r}")
