"""Guidance: one method, one file."""

from __future__ import annotations

from fmbench import hookimpl


@hookimpl
def fmbench_guidances() -> dict[str, str]:
    """Return the components of this package by name."""
    return {
        "apg": "fmbench_guidance.apg:AdaptiveProjectedGuidance",
        "autoguidance": "fmbench_guidance.autoguidance:Autoguidance",
        "cfg_zero_star": "fmbench_guidance.cfg_zero_star:CFGZeroStar",
        "classifier_free": "fmbench_guidance.classifier_free:ClassifierFree",
        "interval": "fmbench_guidance.interval:Interval",
    }
