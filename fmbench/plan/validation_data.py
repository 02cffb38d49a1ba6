"""Datasets that hold nothing out, where a suite wants validation data."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from fmbench.cells.component_spec import ComponentSpec
from fmbench.components.contracts import VALIDATION

if TYPE_CHECKING:
    from fmbench.plugins.registry import Registry


def lacks_validation(spec: ComponentSpec, registry: Registry) -> str:
    """Return that a dataset has no validation data, and what to write so that it has; "" where it has some."""
    if VALIDATION in registry.attribute(spec, "provides"):
        return ""
    usual = {each.name: each.default for each in registry.entry(spec.kind, spec.name).parameters}
    step = f"its class provides {VALIDATION!r}, and returns it by load({VALIDATION!r})"
    if VALIDATION in usual:
        written = {name: v for name, v in spec.parameters.items() if v != usual.get(name)}
        inside = ", ".join(f"{name}: {json.dumps(v)}" for name, v in {**written, VALIDATION: 0.2}.items())
        step = f"write {{{spec.name}: {{{inside}}}}}, which holds a fifth of its training data out"
    return f"validation data, of which {spec} has none: {step}"
