"""The component that a guidance stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmbench.cells.component_spec import ComponentSpec
from fmbench.cells.guidance import CLASSIFIER_FREE, GuidanceChoice

if TYPE_CHECKING:
    from fmbench.plugins.registry import Registry


def guidance_spec(guidance: GuidanceChoice, registry: Registry) -> ComponentSpec | None:
    """Return the component of a guidance; None for 1, which is the network's velocity given the labels, as it is."""
    if isinstance(guidance, ComponentSpec):
        return guidance
    return None if guidance == 1 else registry.spec("guidance", CLASSIFIER_FREE, {"weight": float(guidance)})
