"""Training objectives: one objective, one file."""

from __future__ import annotations

from fmbench import hookimpl


@hookimpl
def fmbench_objectives() -> dict[str, str]:
    """Return the components of this package by name."""
    return {
        "velocity": "fmbench_objectives.velocity:VelocityMatching",
    }
