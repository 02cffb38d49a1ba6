"""The models that come with fmbench: what reads networks that exist already."""

from __future__ import annotations

from fmbench import hookimpl


@hookimpl
def fmbench_models() -> dict[str, str]:
    """Return the models by name."""
    return {
        "checkpoint": "fmbench_models.checkpoint:Checkpoint",
        "diffusers": "fmbench_models.diffusers:Diffusers",
        "empirical_oracle": "fmbench_models.empirical_oracle:EmpiricalOracle",
        "python": "fmbench_models.python:Python",
    }
