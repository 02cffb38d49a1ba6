"""Settings of a training that may have several values in one suite: the axes that no component stands on."""

from __future__ import annotations

from typing import Any

from fmbench.cells.component_spec import ComponentSpec

SETTING_AXES = ("optimizer", "schedule", "steps", "batch_size", "ema")
"""The axes, by the names that the settings have in a suite, in the order of the product."""
NAMED = frozenset({"optimizer", "schedule"})
"""Those whose values have a name and parameters; the others are numbers."""


def setting_value(spec: ComponentSpec) -> Any:
    """Return what a cell's settings hold for a value of one of the axes, as plain JSON values."""
    if spec.kind in NAMED:
        return {"name": spec.name, **spec.parameters}
    if spec.kind != "ema":
        return int(spec.name)
    return {"decay": float(spec.name), **spec.parameters} if spec.parameters else float(spec.name)
