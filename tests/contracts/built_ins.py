"""The built-in components as cases for the conformance tests: all with their defaults, and the variants asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from helpers import built_ins

from fmbench.cells.component_spec import is_own
from fmbench.components.contracts import Component

REGISTRY = built_ins()


@dataclass(frozen=True)
class Case:
    """A component by name, with parameters."""

    kind: str
    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def build(self) -> Component:
        """Return the component, built by the registry as a cell would."""
        return REGISTRY.build(REGISTRY.spec(self.kind, self.name, self.parameters))

    def __str__(self) -> str:
        parameters = ",".join(f"{name}={value}" for name, value in self.parameters.items())
        return f"{self.name}({parameters})" if parameters else self.name


def names(kind: str) -> list[str]:
    """Return the names of fmbench's own components of a kind; there are some, or pytest would skip all their tests."""
    found = [entry.name for entry in REGISTRY.entries(kind) if is_own(entry.owner)]
    assert found, f"no built-in {kind} is registered: {'; '.join(map(str, REGISTRY.failures))}"
    return found


def cases(kind: str, variants: Sequence[tuple[str, Mapping[str, Any]]] = (), without: Sequence[str] = ()) -> list[Case]:
    """Return every built-in of a kind with its defaults, but for those `without`, and the variants."""
    defaults = [Case(kind, name) for name in names(kind) if name not in without]
    return [*defaults, *(Case(kind, name, parameters) for name, parameters in variants)]
