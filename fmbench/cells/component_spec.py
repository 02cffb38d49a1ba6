"""Components and settings as plain data: what a cell is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from fmbench.cells.keys import canonical, digest

SAMPLES = "samples"
"""The kind of what stands in the network's place where samples were made elsewhere."""
ELSEWHERE = "made elsewhere"
"""What stands in the place of components that nobody here knows: those by which such samples were made."""


def is_own(owner: str) -> bool:
    """Whether what belongs to an owner comes with fmbench: owners are a distribution and its version, or a file."""
    return owner.startswith("fmbench ")


def axis_of(kind: str) -> str:
    """Return the axis on which a kind stands: its own; models and samples made elsewhere stand with networks."""
    return "network" if kind in ("model", SAMPLES) else kind


@dataclass(frozen=True)
class ComponentSpec:
    """A component as a cell names it: kind, name, canonical parameters (defaults filled in) and code fingerprint.

    `label` is how tables show it: the name, with the parameters that differ from their defaults. It does not count in
    the key; nor does `owner`, the distribution or file that registered the component, nor what the parameters in
    `unkeyed` say: they name files of a metric, or files and code of a model, whose content is in the fingerprint.
    """

    kind: str
    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict, hash=False)
    fingerprint: str = ""
    label: str = field(default="", compare=False)
    owner: str = field(default="", compare=False)
    unkeyed: tuple[str, ...] = field(default=(), compare=False)

    @property
    def axis(self) -> str:
        """The axis on which it stands."""
        return axis_of(self.kind)

    @property
    def is_registered(self) -> bool:
        """Whether it is a component: samples made elsewhere, and what they were made by, are none."""
        return self.kind != SAMPLES and self.name != ELSEWHERE

    @property
    def is_own(self) -> bool:
        """Whether it comes with fmbench."""
        return is_own(self.owner)

    @cached_property
    def text(self) -> str:
        """The name and parameters as canonical text, without the fingerprint."""
        return canonical([self.kind, self.name, dict(self.parameters)])

    @cached_property
    def digest(self) -> str:
        """The content address of the component: what it is called, how it is set and how it is coded."""
        if not self.unkeyed:
            return digest(self.text, self.fingerprint)
        keyed = {name: value for name, value in self.parameters.items() if name not in self.unkeyed}
        return digest(canonical([self.kind, self.name, keyed]), self.fingerprint)

    def __str__(self) -> str:
        return self.label or self.name


@dataclass(frozen=True)
class Settings:
    """Settings that many cells share, as plain JSON values; their canonical text is made once."""

    values: Mapping[str, Any] = field(hash=False)

    @cached_property
    def text(self) -> str:
        """The values as canonical text."""
        return canonical(dict(self.values))

    def __getitem__(self, name: str) -> Any:
        return self.values[name]


def spec_as_dict(spec: ComponentSpec) -> dict[str, Any]:
    """Return a spec as plain JSON values, its label and owner included."""
    return {
        "kind": spec.kind,
        "name": spec.name,
        "parameters": dict(spec.parameters),
        "fingerprint": spec.fingerprint,
        "label": spec.label,
        "owner": spec.owner,
    }
