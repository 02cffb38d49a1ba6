"""Holding components of a registry against the contract of their kind, and widening rules where a method needs it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from types import ModuleType
from typing import Any

from fmbench.components.contracts import AffinePath, Component, Solver
from fmbench.errors import ComponentError, UserError, did_you_mean
from fmbench.plugins.registry import Registry
from fmbench.testing.base import ComponentConformance
from fmbench.testing.couplings import CouplingConformance
from fmbench.testing.datasets import DatasetConformance
from fmbench.testing.grids import GridConformance
from fmbench.testing.guidance import GuidanceConformance
from fmbench.testing.metrics import MetricConformance
from fmbench.testing.models import ModelConformance
from fmbench.testing.networks import NetworkConformance
from fmbench.testing.objectives import ObjectiveConformance
from fmbench.testing.paths import AffinePathConformance, PathConformance
from fmbench.testing.run_checks import CheckResult, run_checks
from fmbench.testing.solvers import AdaptiveSolverConformance, SolverConformance
from fmbench.testing.t_distributions import TDistributionConformance

CONFORMANCE: dict[str, type[ComponentConformance]] = {
    "dataset": DatasetConformance,
    "path": PathConformance,
    "coupling": CouplingConformance,
    "t_distribution": TDistributionConformance,
    "objective": ObjectiveConformance,
    "network": NetworkConformance,
    "model": ModelConformance,
    "solver": SolverConformance,
    "grid": GridConformance,
    "guidance": GuidanceConformance,
    "metric": MetricConformance,
}
"""The conformance class of each kind; some components have a narrower one."""
NO_FACTS = ("contract", "fixtures", "adaptive", "name")
"""Attributes of conformance classes that say nothing about a method."""


@dataclass(frozen=True)
class CheckedComponent:
    """A component that was held against its contract.

    `place` is its file and line. `facts` are the attributes of its conformance class that widen rules, with the values
    that they had; `results` come one by one.
    """

    title: str
    place: str
    facts: Mapping[str, Any]
    results: Iterator[CheckResult] = field(compare=False)


def check_component(
    registry: Registry, kind: str, name: str, parameters: Mapping[str, Any], facts: Mapping[str, Any]
) -> CheckedComponent:
    """Return the checks of a component with some parameters, which run as they are asked for.

    `facts` are values of attributes of its conformance class. Raises UserError where the component cannot be made, or a
    fact is none.
    """
    try:
        spec = registry.spec(kind, name, parameters)
        component = registry.build(spec)
    except ComponentError as error:
        needed = "" if parameters else _how_to_write(registry, kind, name)
        raise UserError(f"{str(error).removesuffix('.')}.{needed}") from error
    tests = conformance_of(kind, component)
    if isinstance(tests, MetricConformance):
        tests.name = name  # type: ignore[misc]  # of this instance alone
    known = facts_of(type(tests))
    for each, value in facts.items():
        setattr(tests, each, _fact(type(tests), known, each, value))
    results = run_checks(tests, lambda: registry.build(spec))
    return CheckedComponent(f"{kind} {spec}", place_of(type(component)), {**known, **facts}, results)


def unbuilt(registry: Registry, kind: str, name: str) -> CheckedComponent:
    """Return the one result for a component that cannot be built without parameters: its check is skipped."""
    entry = registry.entry(kind, name)
    needed = ", ".join(each.name for each in entry.parameters if each.required)
    found = f"it needs {needed}.{_how_to_write(registry, kind, name)}"
    result = CheckResult("is built", "skipped", "A component is built before it is checked.", found)
    return CheckedComponent(f"{kind} {name}", entry.target, {}, iter([result]))


def _how_to_write(registry: Registry, kind: str, name: str) -> str:
    """Return how a component is checked that needs parameters; "" for one that is not known, or needs none."""
    if kind not in CONFORMANCE or name not in registry.names(kind):
        return ""
    needed = ", ".join(f"{each.name}: ..." for each in registry.entry(kind, name).parameters if each.required)
    written = f"fmbench check-plugin {kind} '{{{name}: {{{needed}}}}}'"
    return f" Give its parameters as in a suite: {written}" if needed else ""


def check_test_class(cls: type[ComponentConformance]) -> CheckedComponent:
    """Return the checks of a conformance class that somebody wrote for a component, which run as they are asked for."""
    return CheckedComponent(cls.__name__, place_of(cls), facts_of(cls), run_checks(cls()))


def test_classes_in(module: ModuleType) -> list[type[ComponentConformance]]:
    """Return the conformance classes that a module defines for components, as pytest would find them."""
    own = (each for each in vars(module).values() if inspect.isclass(each) and each.__module__ == module.__name__)
    return [each for each in own if issubclass(each, ComponentConformance) and each.__name__.startswith("Test")]


def conformance_of(kind: str, component: Component) -> ComponentConformance:
    """Return the tests of a component of a kind."""
    if isinstance(component, Solver) and component.adaptive:
        return AdaptiveSolverConformance()
    if isinstance(component, AffinePath):
        return AffinePathConformance()
    return CONFORMANCE[kind]()


def facts_of(cls: type[ComponentConformance]) -> dict[str, Any]:
    """Return the attributes of a conformance class that widen its rules, with their values."""
    names = (name for each in cls.__mro__ for name in vars(each).get("__annotations__", ()) if name not in NO_FACTS)
    return {name: getattr(cls, name) for name in dict.fromkeys(names)}


def _fact(cls: type, known: Mapping[str, Any], name: str, value: Any) -> Any:
    """Return a fact's value in the form of the class's own. Raises UserError where it is none, or of another form."""
    if name not in known:
        choices = ", ".join(known) or "none"
        near = did_you_mean(name, known)
        raise UserError(f"{cls.__name__} has no attribute {name!r} that widens a rule.{near} There are: {choices}.")
    usual = known[name]
    if isinstance(usual, tuple) and isinstance(value, list | tuple):
        return tuple(value)
    if isinstance(usual, bool) or isinstance(value, bool):
        fits = isinstance(usual, bool) and isinstance(value, bool)
    elif isinstance(usual, Real):
        fits = isinstance(value, Real)
    else:
        fits = isinstance(value, type(usual)) and isinstance(usual, str | Mapping)
    if not fits:
        raise UserError(f"{name} is written as {usual!r} is; found {value!r}. Else set it in a test class of your own.")
    return value


def place_of(cls: type) -> str:
    """Return the file and the line of a class."""
    try:
        return f"{_short(inspect.getfile(cls))}:{inspect.getsourcelines(cls)[1]}"
    except (TypeError, OSError):
        return cls.__module__


def _short(file: str) -> str:
    """Return a file as seen from the working folder, if it is below it."""
    try:
        return str(Path(file).resolve().relative_to(Path.cwd()))
    except ValueError:
        return file
