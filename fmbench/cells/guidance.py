"""Guidance as a cell names it: the weight of classifier-free guidance, or a component."""

from __future__ import annotations

from fmbench.cells.component_spec import ComponentSpec

GuidanceChoice = float | ComponentSpec
"""A number is the weight of classifier-free guidance, 1 for none; else a component of the kind "guidance"."""

CLASSIFIER_FREE = "classifier_free"
"""The component that a number stands for."""


def exact_text(guidance: GuidanceChoice) -> str:
    """Return a guidance as it counts in keys."""
    return guidance.digest if isinstance(guidance, ComponentSpec) else repr(float(guidance))


def guidance_label(guidance: GuidanceChoice) -> str:
    """Return a guidance as tables show it."""
    return str(guidance) if isinstance(guidance, ComponentSpec) else f"{guidance:g}"
