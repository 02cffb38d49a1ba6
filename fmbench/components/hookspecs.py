"""The hooks that a plugin may implement, one a kind.

Each returns `{name: component}`, where a component is a class, `"module:Class"`, or a `Preset` of either. A class
that is given as text is imported only when the component is used, so a plugin of such costs nothing to list.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pluggy

PROJECT = "fmbench"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@dataclass(frozen=True)
class Preset:
    """A component under one more name, with defaults of its own for some of its parameters.

    `target` is a class or `"module:Class"`; `parameters` are JSON values, in whose place a suite may write others.
    """

    target: type | str
    parameters: Mapping[str, Any] = field(hash=False)


Components = Mapping[str, "type | str | Preset"]


@hookspec
def fmbench_datasets() -> Components:  # type: ignore[empty-body]
    """Return the datasets of this plugin by name; see `fmbench.Dataset`."""


@hookspec
def fmbench_paths() -> Components:  # type: ignore[empty-body]
    """Return the probability paths of this plugin by name; see `fmbench.Path`."""


@hookspec
def fmbench_couplings() -> Components:  # type: ignore[empty-body]
    """Return the couplings of this plugin by name; see `fmbench.Coupling`."""


@hookspec
def fmbench_t_distributions() -> Components:  # type: ignore[empty-body]
    """Return the distributions of training time t by name; see `fmbench.TDistribution`."""


@hookspec
def fmbench_objectives() -> Components:  # type: ignore[empty-body]
    """Return the training objectives of this plugin by name; see `fmbench.Objective`."""


@hookspec
def fmbench_networks() -> Components:  # type: ignore[empty-body]
    """Return the networks of this plugin by name; see `fmbench.Network`."""


@hookspec
def fmbench_models() -> Components:  # type: ignore[empty-body]
    """Return the models that exist already by name; see `fmbench.Model`."""


@hookspec
def fmbench_solvers() -> Components:  # type: ignore[empty-body]
    """Return the solvers of this plugin by name; see `fmbench.Solver`."""


@hookspec
def fmbench_grids() -> Components:  # type: ignore[empty-body]
    """Return the time grids of this plugin by name; see `fmbench.Grid`."""


@hookspec
def fmbench_guidances() -> Components:  # type: ignore[empty-body]
    """Return the ways of guidance of this plugin by name; see `fmbench.Guidance`."""


@hookspec
def fmbench_metrics() -> Components:  # type: ignore[empty-body]
    """Return the metrics of this plugin by name; see `fmbench.Metric`."""
