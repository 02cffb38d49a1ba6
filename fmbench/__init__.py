"""fmbench: which choice makes a flow-matching model good at few function evaluations, and how do you know?

The names below are the public face; everything else may change between versions. Importing fmbench imports neither
torch nor mlflow, and each name's module only once the name is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fmbench.components.contracts import (
        AffinePath,
        Coupling,
        Dataset,
        Evidence,
        Grid,
        Guidance,
        Metric,
        Model,
        Network,
        NetworkCalls,
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
    from fmbench.components.gaussian_mixture import Mixture
    from fmbench.components.hookspecs import Preset, hookimpl
    from fmbench.errors import DataError, FmbenchError, UserError
    from fmbench.io.array_files import StoredArray, find_array
    from fmbench.plan import make_plan
    from fmbench.runner.results import Results, load_results
    from fmbench.runner.run import RunResult, run
    from fmbench.runner.session import Options
    from fmbench.suite import load_suite

__all__ = [
    "AffinePath",
    "Coupling",
    "DataError",
    "Dataset",
    "Evidence",
    "FmbenchError",
    "Grid",
    "Guidance",
    "Metric",
    "Mixture",
    "Model",
    "Network",
    "NetworkCalls",
    "Objective",
    "Options",
    "Path",
    "PathSample",
    "Preset",
    "ProbabilityPath",
    "Results",
    "RunResult",
    "Solver",
    "StoredArray",
    "TDistribution",
    "TrainingFacts",
    "UserError",
    "Velocity",
    "expand",
    "find_array",
    "hookimpl",
    "load_results",
    "load_suite",
    "make_plan",
    "run",
]

_MODULES = {
    "fmbench.components.gaussian_mixture": ("Mixture",),
    "fmbench.components.hookspecs": ("Preset", "hookimpl"),
    "fmbench.errors": ("DataError", "FmbenchError", "UserError"),
    "fmbench.io.array_files": ("StoredArray", "find_array"),
    "fmbench.plan": ("make_plan",),
    "fmbench.runner.results": ("Results", "load_results"),
    "fmbench.runner.run": ("RunResult", "run"),
    "fmbench.runner.session": ("Options",),
    "fmbench.suite": ("load_suite",),
}
"""Where the names are defined; all others are contracts."""
_PLACES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'fmbench' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_PLACES.get(name, "fmbench.components.contracts")), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
