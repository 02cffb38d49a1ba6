"""Conformance tests that plugin authors inherit: what a component must do to be used in a suite, as pytest classes.

```python
from fmbench.testing import SolverConformance
from my_plugin import Leapfrog

class TestLeapfrog(SolverConformance):
    def component(self):
        return Leapfrog(damping=0.1)
```

`component` is a method, or a pytest fixture where several instances are to be tested. Class attributes of the
conformance classes widen a rule where the method needs it, such as `endpoint_tolerance` for a path that leaves noise at
the data. Every built-in component passes these same classes, and every executor `ExecutorConformance`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fmbench.testing.couplings import CouplingConformance
from fmbench.testing.datasets import DatasetConformance
from fmbench.testing.evidence import make_evidence
from fmbench.testing.grids import GridConformance
from fmbench.testing.guidance import GuidanceConformance
from fmbench.testing.metrics import MetricConformance
from fmbench.testing.models import ModelConformance
from fmbench.testing.networks import NetworkConformance
from fmbench.testing.objectives import ObjectiveConformance
from fmbench.testing.paths import AffinePathConformance, PathConformance
from fmbench.testing.solvers import AdaptiveSolverConformance, SolverConformance
from fmbench.testing.t_distributions import TDistributionConformance

if TYPE_CHECKING:
    from fmbench.testing.executors import ExecutorConformance

__all__ = [
    "AdaptiveSolverConformance",
    "AffinePathConformance",
    "CouplingConformance",
    "DatasetConformance",
    "ExecutorConformance",
    "GridConformance",
    "GuidanceConformance",
    "MetricConformance",
    "ModelConformance",
    "NetworkConformance",
    "ObjectiveConformance",
    "PathConformance",
    "SolverConformance",
    "TDistributionConformance",
    "make_evidence",
]


def __getattr__(name: str) -> Any:
    if name == "ExecutorConformance":  # it alone needs pytest
        from fmbench.testing.executors import ExecutorConformance

        return ExecutorConformance
    raise AttributeError(f"module 'fmbench.testing' has no attribute {name!r}")
